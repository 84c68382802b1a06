"""Errors, sorted by what the caller must do.

    DrplatformError
    ├── NothingTouched            exit 2: mend the input and call again; nothing was changed
    │   ├── SettingsError         a setting, file or server is missing or wrong
    │   ├── PolicyError           the policy does not say what it must
    │   ├── PlanError             the drill asks for what the platform cannot do
    │   ├── TargetRefused         the target is not the one named for this restore, or is not empty
    │   └── KeyUnavailable        no private key here opens this backup
    ├── Inconclusive              exit 2: the run proves nothing, in either direction
    │   ├── FaultNotConfirmed     the fault was applied, but an independent look does not see it
    │   └── FaultNotHealed        the fault is still there after healing
    ├── RecoveryFailed            exit 1: the recovery did not reach its goal
    ├── VerificationFailed        exit 1: what was recovered is wrong
    ├── IntegrityError            exit 1: do not trust this backup (or this evidence)
    ├── LogGap                    exit 1: the continuous log has a hole; a new full backup is needed
    ├── DeadlineExceeded          exit 1: a condition did not come true in time; says what was last seen
    └── StoreError                a server answered with an error, or not at all
        ├── NotWritten            a write that certainly did not happen
        └── Indeterminate         a write of which nobody knows whether it happened

Every message is one sentence that says what is wrong and what to do next. No message carries a secret.
"""


class DrplatformError(Exception):
    """Root of all errors that drplatform raises on purpose."""

    exit_code = 1


class NothingTouched(DrplatformError):
    """The request was refused before anything was changed."""

    exit_code = 2


class SettingsError(NothingTouched):
    """A setting, file or server program is missing or wrong."""


class PolicyError(NothingTouched):
    """A policy is not usable; lists every problem found, with its path in the document."""

    def __init__(self, problems: "list[str] | str") -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("The policy is not usable: " + "; ".join(self.problems) + ".")


class PlanError(NothingTouched):
    """A drill asks for what is not there; lists every missing thing at once."""

    def __init__(self, problems: "list[str] | str") -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("The drill cannot run here: " + "; ".join(self.problems) + ".")


class TargetRefused(NothingTouched):
    """The target of a restore is occupied, or is not the one that was named."""


class KeyUnavailable(NothingTouched):
    """None of the private keys given opens the backup."""


class Inconclusive(DrplatformError):
    """The run proves nothing, in either direction."""

    exit_code = 2


class FaultNotConfirmed(Inconclusive):
    """A fault was applied, but an independent look does not see its effect on any target."""


class FaultNotHealed(Inconclusive):
    """A fault is still in effect after healing."""


class RecoveryFailed(DrplatformError):
    """The recovery did not reach its goal."""


class VerificationFailed(DrplatformError):
    """What was recovered is not what was backed up."""


class IntegrityError(DrplatformError):
    """An object of a backup or of evidence is not what its manifest says: do not trust it."""


class LogGap(DrplatformError):
    """The continuous log has a hole: what lies behind it cannot be reached from the backups before it."""


class DeadlineExceeded(DrplatformError):
    """A condition did not come true in time."""

    def __init__(self, what: str, seconds: float, last_seen: str) -> None:
        self.what, self.seconds, self.last_seen = what, seconds, last_seen
        super().__init__(f"Waited {seconds:g} s for {what}; last seen: {last_seen or 'nothing'}.")


class StoreError(DrplatformError):
    """A server answered with an error, or did not answer."""


class NotWritten(StoreError):
    """A write that certainly did not happen: it was refused, or never left us."""


class Indeterminate(StoreError):
    """A write that may or may not have happened: it left us, and no answer came back."""


class AccessDenied(StoreError):
    """A server knows who asks, and refuses what is asked."""


class ObjectMissing(StoreError):
    """A repository has no object of this key."""


class ObjectExists(StoreError):
    """A repository already has an object of this key; objects are never overwritten."""
