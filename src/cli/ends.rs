//! How commands end that could not do what was asked.

use super::proof::NotProved;
use crate::host::HostError;
use crate::outcome::Outcome;
use crate::semantics::TooLarge;

/// How a command ends that could not do what was asked, whatever was said around the error. What has no kind of its own is
/// bad input, or a machine that does not do what it takes.
pub fn of(error: &anyhow::Error) -> Outcome {
    if let Some(error) = error.downcast_ref::<HostError>() {
        error.outcome()
    } else if error.is::<NotProved>() {
        Outcome::No
    } else if error.is::<TooLarge>() {
        Outcome::Undecided
    } else {
        Outcome::Unusable
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::host::judge::Standing;

    #[test]
    fn an_error_ends_with_its_code_whatever_is_said_around_it() {
        for (error, code) in [
            (HostError::NoRight, 2),
            (HostError::BadSnapshot, 2),
            (HostError::Lost, 3),
            (HostError::NothingWaits, 4),
            (HostError::Waiting, 6),
            (HostError::TakenBack, 6),
            (HostError::Mismatch(crate::host::Restored::Done), 7),
            (HostError::NotInForce(Standing::Absent), 4),
            (HostError::NotInForce(Standing::Drifted), 1),
        ] {
            let words = error.to_string();
            assert_eq!(of(&error.into()).code(), code, "{words}");
        }
        let around = Err::<(), _>(HostError::Waiting).context("while something was done").unwrap_err();
        assert_eq!(of(&around), Outcome::Unconfirmed);
        assert_eq!(of(&anyhow::anyhow!("there is no such file")), Outcome::Unusable);
        assert_eq!(of(&anyhow::Error::from(TooLarge)), Outcome::Undecided);
    }
}
