"""What is wrong with the settings, one line for each."""

from attrs import frozen


@frozen
class SettingProblem:
    """One wrong setting.

    Attributes:
        setting: its name, as it was given.
        remedy: what to do about it. Never the value, which may be a secret.
    """

    setting: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.remedy}"


class SettingsError(Exception):
    """The settings cannot be used; the message has one line for each wrong one."""

    def __init__(self, *problems: SettingProblem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
