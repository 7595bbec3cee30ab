"""What the simulations of a run did in sum: their tests run in many processes."""

import pytest


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
