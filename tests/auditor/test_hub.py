"""Pushing a model card: our part is replaced, the rest stays, and nothing is overwritten unread. No network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RemoteEntryNotFoundError

from auditor.cli.hub import push_model_card
from auditor.errors import ConfigError
from reports.ci.model_card import BEGIN, DATASET_TYPE, END

THEIRS = """---
license: mit
model-index:
- name: their name
  results:
  - task:
      type: text-generation
    dataset:
      name: Some benchmark
      type: bench
    metrics:
    - type: accuracy
      value: 0.5
---

# Their model

Their words.
"""
SECTION = f"{BEGIN}\n\n## Memorization\n\nAUC 0.52\n\n{END}\n"


def figures(value: float) -> dict[str, Any]:
    metric = {"type": "attacks.reference.auc", "value": value, "name": "AUC", "args": {"low": value - 0.1}}
    result = {
        "task": {"type": "text-generation"},
        "dataset": {"name": "Memorization", "type": DATASET_TYPE},
        "metrics": [metric],
    }
    return {"model-index": [{"name": "ours", "results": [result]}]}


class Hub:
    """What a repository would hold."""

    def __init__(self) -> None:
        self.card: str | Exception = THEIRS
        self.refuses: Exception | None = None
        self.options: dict[str, Any] = {}

    def load(self, repo_id: str) -> ModelCard:
        if isinstance(self.card, Exception):
            raise self.card
        return ModelCard(self.card)

    def push(self, card: ModelCard, repo_id: str, **options: Any) -> str:
        if self.refuses is not None:
            raise self.refuses
        self.card, self.options = str(card), options
        return f"https://hub.example/{repo_id}/commit/1"


def http(kind: type[HfHubHTTPError], message: str) -> HfHubHTTPError:
    """Make an error of the hub without a response of its HTTP library."""
    error = kind.__new__(kind)
    error.args = (message,)
    return error


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    one = Hub()
    monkeypatch.setattr(ModelCard, "load", one.load)
    monkeypatch.setattr(ModelCard, "push_to_hub", lambda card, repo_id, **options: one.push(card, repo_id, **options))
    return one


@pytest.fixture
def push(hub: Hub) -> Callable[..., str]:
    return lambda section=SECTION, metadata=None, **options: push_model_card(
        section, figures(0.52) if metadata is None else metadata, repo_id="team/model", **options
    )


def test_our_part_is_added_and_the_rest_stays(hub: Hub, push: Callable[..., str]) -> None:
    assert push() == "https://hub.example/team/model/commit/1"
    card = ModelCard(str(hub.card))
    assert card.text == "\n# Their model\n\nTheir words.\n\n" + SECTION
    assert card.data.license == "mit"
    assert card.data.model_name == "their name"
    assert [(one.dataset_type, one.metric_value) for one in card.data.eval_results] == [
        ("bench", 0.5),
        (DATASET_TYPE, 0.52),
    ]


def test_the_next_push_replaces_our_part_alone(hub: Hub, push: Callable[..., str]) -> None:
    push()
    hub.card = f"{hub.card}\nMore of their words.\n"
    push(SECTION.replace("0.52", "0.61"), figures(0.61))
    card = ModelCard(str(hub.card))
    assert "0.52" not in str(hub.card)
    assert card.text.count(BEGIN) == card.text.count("AUC 0.61") == 1
    assert card.text.endswith(f"{END}\n\nMore of their words.\n")
    assert [one.metric_value for one in card.data.eval_results] == [0.5, 0.61]


def test_pushing_twice_changes_nothing(hub: Hub, push: Callable[..., str]) -> None:
    push()
    once = hub.card
    push()
    assert hub.card == once


def test_without_figures_the_old_ones_go(hub: Hub, push: Callable[..., str]) -> None:
    push()
    push(metadata={})
    assert [one.dataset_type for one in ModelCard(str(hub.card)).data.eval_results] == ["bench"]


def test_a_repository_without_a_card_gets_one(hub: Hub, push: Callable[..., str]) -> None:
    hub.card = http(RemoteEntryNotFoundError, "no README.md")
    push(create_pr=True)
    card = ModelCard(str(hub.card))
    assert card.text.strip() == SECTION.strip()
    assert card.data.model_name == "ours"
    assert hub.options["create_pr"] is True


@pytest.mark.parametrize("error", [LocalEntryNotFoundError("offline"), OSError("offline"), RuntimeError("offline")])
def test_a_card_that_cannot_be_read_is_not_overwritten(error: Exception, hub: Hub, push: Callable[..., str]) -> None:
    hub.card = error
    with pytest.raises(ConfigError, match=r"^the model card of 'team/model' cannot be written: offline; check [^\n]*$"):
        push()
    assert hub.card is error


def test_a_refusal_is_one_line(hub: Hub, push: Callable[..., str]) -> None:
    hub.refuses = http(HfHubHTTPError, "403\n\nforbidden\n" + "x" * 1000)
    with pytest.raises(ConfigError, match=r"403 forbidden x") as caught:
        push()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", [f"a {BEGIN} b", f"a {END} b", f"{END} a {BEGIN}"])
def test_half_a_mark_is_told(text: str, hub: Hub, push: Callable[..., str]) -> None:
    hub.card = f"---\nlicense: mit\n---\n{text}\n"
    with pytest.raises(ConfigError, match="only one of"):
        push()


def test_a_local_file_is_never_pushed(tmp_path: Path, hub: Hub) -> None:
    path = tmp_path / "README.md"
    path.write_text("secret", encoding="utf-8")
    with pytest.raises(ConfigError, match="is a file here"):
        push_model_card(SECTION, {}, repo_id=str(path))
    assert hub.card == THEIRS
