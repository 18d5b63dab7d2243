"""Errors of the settings, with one line for each wrong one."""

from booking_payments.ports.gateway_settings import SettingProblem as SettingProblem


class SettingsError(Exception):
    """The settings cannot be used; the message has one line for each wrong one."""

    def __init__(self, *problems: SettingProblem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
