"""``auditor doctor``: what this installation can do, and what in it is broken."""

from contextlib import suppress

import click
import cloup

from ..errors import AuditError
from .options import printing_options
from .output import make_console, print_document, print_summary, quiet_libraries

__all__ = ["doctor"]


@cloup.command(short_help="Try what an audit needs on this machine.")
@click.option("--compile", "compile_kernels", is_flag=True,
              help="Also compile the kernel of large jobs and check it (10 s or more).")  # fmt: skip
@printing_options("every finding as JSON on stdout")
def doctor(compile_kernels: bool, as_json: bool) -> None:
    """Try what an audit needs on this machine, and say what to do about what does not work.

    The installed files, the packages, the extras, the devices, the kernels; then a self-test, in which a tiny model
    made on the fly is scored by the engine and by an independent loop. Needs no network. Exit code 2 if anything that
    is needed is broken; an extra that is not installed is not.
    """
    with suppress(Exception):  # a library that cannot be imported is a finding
        quiet_libraries()
    from reports.diagnosis import render_diagnosis

    from ..diagnosis.diagnose import diagnose
    from ..documents.files import to_text

    with make_console(stderr=True).status("starting") as status:
        found = diagnose(compile_kernels=compile_kernels, on_part=lambda part: status.update(f"trying: {part}"))
    if as_json:
        print_document(to_text(found))
    else:
        print_summary(render_diagnosis(found))
    if broken := found.broken:
        first = f"{broken[0].part}, {broken[0].name}: {broken[0].detail}"
        raise AuditError(f"{len(broken)} of {len(found.findings)} findings keep audits from working; {first}")
