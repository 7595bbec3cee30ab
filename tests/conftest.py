"""What all tests share: a locale, and what the simulations of a run did in sum."""

import os

import pytest


def pytest_configure() -> None:
    """Let commands speak English, whatever the locale of the machine."""
    os.environ["LC_ALL"] = "C.UTF-8"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the tests recorded as `simulated`, and print it once."""
    sums: dict[str, int] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, counted in getattr(report, "user_properties", ()):
                if name == "simulated" and report.when == "call":
                    for what, times in counted.items():
                        sums[what] = sums.get(what, 0) + times
    if sums:
        per_core = "messages per second and core"
        sums[per_core] = sums["messages"] // max(sums["seconds of one core"], 1)
        text = ", ".join(f"{times} {what}" for what, times in sums.items() if what != per_core)
        terminalreporter.section("simulated")
        terminalreporter.write_line(f"{text}; {sums[per_core]} {per_core}")
