//! Outcomes and the file that holds them.

use crate::case::{Case, Release, Stop, Verdict};
use serde_json::{Value, json};
use std::fmt;

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    Fail(String),
    Skip(String),
}

impl Outcome {
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Ok(()) => Self::Pass,
            Err(Stop::Fail(why)) => Self::Fail(why),
            Err(Stop::Skip(why)) => Self::Skip(why),
        }
    }

    /// A failure to do what only a newer release asks for is no failure of a runtime that does not claim that release.
    pub fn weighed(self, case: &Case, declared: Option<&str>) -> Self {
        let claims = declared.and_then(Release::of);
        match (self, claims) {
            (Self::Fail(why), Some(release)) if case.since > release => {
                Self::Skip(format!("needs {}, the runtime declares {}; seen: {why}", case.since, declared.unwrap_or_default()))
            }
            (outcome, _) => outcome,
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::Skip(_) => "skip",
        }
    }

    pub fn detail(&self) -> &str {
        match self {
            Self::Pass => "",
            Self::Fail(why) | Self::Skip(why) => why,
        }
    }

    pub fn to_json(&self) -> Value {
        json!({ "outcome": self.word(), "detail": self.detail() })
    }

    /// Reads what `to_json` wrote.
    pub fn from_json(value: &Value) -> Option<Self> {
        let detail = value["detail"].as_str().unwrap_or_default().to_owned();
        match value["outcome"].as_str()? {
            "pass" => Some(Self::Pass),
            "fail" => Some(Self::Fail(detail)),
            "skip" => Some(Self::Skip(detail)),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// One line of the results file.
pub fn result_json(case: &Case, outcome: &Outcome) -> Value {
    json!({
        "name": case.name,
        "level": case.level.to_string(),
        "since": case.since.to_string(),
        "clause": case.clause,
        "outcome": outcome.word(),
        "detail": outcome.detail(),
    })
}

#[cfg(test)]
mod tests {
    use super::Outcome;
    use crate::case::{Case, Clause};

    fn case(minor: u32) -> Case {
        Clause::must("section", "sentence").since(minor, "a.case", |_| Ok(()))
    }

    #[test]
    fn a_newer_release_is_no_failure_of_an_older_runtime() {
        let failed = Outcome::Fail("seen".into());
        assert!(matches!(failed.clone().weighed(&case(1), Some("1.0.2-dev")), Outcome::Skip(_)));
        assert_eq!(failed.clone().weighed(&case(1), Some("1.1.0")), failed);
        assert_eq!(failed.clone().weighed(&case(3), None), failed);
        assert_eq!(Outcome::Pass.weighed(&case(3), Some("1.0.0")), Outcome::Pass);
    }

    #[test]
    fn outcomes_survive_the_results_file() {
        for outcome in [Outcome::Pass, Outcome::Fail("why".into()), Outcome::Skip("because".into())] {
            assert_eq!(Outcome::from_json(&outcome.to_json()), Some(outcome));
        }
    }
}
