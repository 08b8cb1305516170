#!/usr/bin/env bash
# Audit a model and hold the result against a policy: what the GitHub Action and the GitLab template run.
#
# Settings are environment variables, so that no text of a user is ever read as code:
#   AUDITOR_TARGET                      needed
#   AUDITOR_PACK                        what `auditor pack` wrote: texts, reference and settings; or else
#   AUDITOR_MEMBERS                     and, if there are any, AUDITOR_NON_MEMBERS and AUDITOR_REFERENCE
#   AUDITOR_POLICY, AUDITOR_BASELINE, AUDITOR_OUT
#   AUDITOR_EXTRA_ARGS                  more arguments of `auditor audit`, quoted as in a shell
#   AUDITOR_WARN_ONLY                   true: exit with 0 whatever the verdict
# Exit code: 0 passed, 1 a gate stops it, 2 anything else. With $GITHUB_OUTPUT set, outputs are written there.
set -euo pipefail

fail() {
  echo "Error: $1" >&2
  exit 2
}

judged=false
trap 'code=$?; if [ "$code" -ne 0 ] && [ "$judged" = false ]; then exit 2; fi' EXIT

out=${AUDITOR_OUT:-audit-results}
[ -n "${AUDITOR_TARGET:-}" ] || fail "no target given: set the input target (AUDITOR_TARGET)"
texts="the input pack (AUDITOR_PACK) or members (AUDITOR_MEMBERS)"
[ -n "${AUDITOR_PACK:-}${AUDITOR_MEMBERS:-}" ] || fail "no texts given: set $texts"
if [ -n "${AUDITOR_PACK:-}" ] && [ -n "${AUDITOR_MEMBERS:-}" ]; then
  fail "a pack holds the members already: set $texts, not both"
fi
case $out in *$'\n'*) fail "the folder of the results has a line break in its name" ;; esac

audit=(--out "$out" --target "$AUDITOR_TARGET")
if [ -n "${AUDITOR_PACK:-}" ]; then audit+=(--pack "$AUDITOR_PACK"); fi
if [ -n "${AUDITOR_MEMBERS:-}" ]; then audit+=(--members "$AUDITOR_MEMBERS"); fi
if [ -n "${AUDITOR_REFERENCE:-}" ]; then audit+=(--reference "$AUDITOR_REFERENCE"); fi
if [ -n "${AUDITOR_NON_MEMBERS:-}" ]; then audit+=(--non-members "$AUDITOR_NON_MEMBERS"); fi
if [ -n "${AUDITOR_EXTRA_ARGS:-}" ]; then
  words=$(python -c 'import os, shlex; print("\n".join(shlex.split(os.environ["AUDITOR_EXTRA_ARGS"])))' 2> /dev/null) ||
    fail "the extra arguments (AUDITOR_EXTRA_ARGS) have a quote without an end"
  if [ -n "$words" ]; then while IFS= read -r word; do audit+=("$word"); done <<< "$words"; fi
fi

if [ -n "${AUDITOR_POLICY:-}" ]; then auditor gate --check-policy "$AUDITOR_POLICY"; fi  # before hours of scoring
auditor audit "${audit[@]}"

gate=("$out" --junit "$out/gate-junit.xml" --sarif "$out/gate.sarif" --summary "$out/gate.md")
if [ -n "${AUDITOR_POLICY:-}" ]; then gate+=(--policy "$AUDITOR_POLICY"); fi
if [ -n "${AUDITOR_BASELINE:-}" ]; then gate+=(--baseline "$AUDITOR_BASELINE"); fi
if [ "${AUDITOR_WARN_ONLY:-false}" = true ]; then gate+=(--warn-only); fi
if [ -n "${GITHUB_ACTIONS:-}" ]; then gate+=(--annotations); fi

code=0
auditor gate "${gate[@]}" || code=$?
if [ -n "${GITHUB_OUTPUT:-}" ]; then
  passed=false
  if [ "$code" -eq 0 ]; then passed=true; fi
  {
    echo "passed=$passed"
    echo "exit-code=$code"
    echo "results=$out"
    echo "report=$out/report.html"
    echo "sarif=$out/gate.sarif"
    echo "junit=$out/gate-junit.xml"
  } >> "$GITHUB_OUTPUT"
fi
judged=true
exit "$code"
