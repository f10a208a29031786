"""What a check of a stream found: the cause by name, what was seen, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a stream.

    Parameters
    ----------
    name
        The cause, in the words of docs/troubleshooting.md.
    sentence
        What was seen, with its numbers.
    advice
        What to do about it.
    """

    name: str
    sentence: str
    advice: str


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What a stream is, line by line, and what is wrong with it; the gravest finding is first."""

    facts: dict[str, str]
    findings: tuple[Finding, ...]

    @property
    def names(self) -> set[str]:
        """The names of the findings."""
        return {finding.name for finding in self.findings}
