//! Counting results by directory.

use super::CaseReport;
use std::collections::BTreeMap;
use std::fmt;

/// Results by directory, and the first failure.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    directories: BTreeMap<String, Count>,
    first_failure: Option<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    passed: usize,
    failed: usize,
    gas: u64,
}

impl Summary {
    /// Counts the reports of a file.
    pub fn add(&mut self, directory: &str, file: &str, reports: &[CaseReport]) {
        let count = self.directories.entry(directory.to_owned()).or_default();
        for report in reports {
            count.gas = count.gas.saturating_add(report.gas_used);
            match &report.difference {
                None => count.passed += 1,
                Some(difference) => {
                    count.failed += 1;
                    let text =
                        format!("{directory}/{file}: {} [{}]: {difference}", report.name, report.index);
                    self.first_failure.get_or_insert(text);
                }
            }
        }
    }

    /// Adds another summary's counts.
    pub fn merge(&mut self, other: Summary) {
        for (directory, count) in other.directories {
            let sum = self.directories.entry(directory).or_default();
            sum.passed += count.passed;
            sum.failed += count.failed;
            sum.gas = sum.gas.saturating_add(count.gas);
        }
        if self.first_failure.is_none() {
            self.first_failure = other.first_failure;
        }
    }

    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.directories.values().map(|count| count.passed).sum()
    }

    /// How many cases failed.
    pub fn failed(&self) -> usize {
        self.directories.values().map(|count| count.failed).sum()
    }

    /// The first failure in words.
    pub fn first_failure(&self) -> Option<&str> {
        self.first_failure.as_deref()
    }

    /// Each directory with its passed and failed cases, in order.
    pub fn directories(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.directories.iter().map(|(name, count)| (name.as_str(), count.passed, count.failed))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, passed, failed) in self.directories().filter(|(_, passed, failed)| passed + failed > 0) {
            let mark = if failed == 0 { "ok" } else { "FAILED" };
            writeln!(f, "{name:50} {passed:6} passed {failed:6} failed  {mark}")?;
        }
        writeln!(f, "{} passed, {} failed", self.passed(), self.failed())?;
        match self.first_failure() {
            Some(failure) => writeln!(f, "first difference: {failure}"),
            None => Ok(()),
        }
    }
}
