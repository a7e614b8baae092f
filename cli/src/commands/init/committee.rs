//! Who orders a new network, and who belongs to its first committee: its own nodes, and members whose keys were made
//! elsewhere.
//!
//! This is the one place of `synod init` that tells orderings apart. A committee is refused with the arithmetic of its
//! fault model when one more or one fewer member would make it better at no cost.

use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use synod_types::PublicKey;
use synod_types::committee::{FaultModel, Quorums, fault_model};
use synod_types::genesis::{Member, Ordering};

use crate::commands::validator::parse_key;
use crate::failure::{Failure, Outcome};
use crate::wallet::names::{Name, NameError};

/// Who orders.
#[derive(Debug, Args)]
#[command(next_help_heading = "A new network")]
#[group(id = "committee", multiple = true)]
pub(super) struct CommitteeOptions {
    /// Who orders the transactions [default: pow]
    #[arg(long, value_name = "ORDERING", value_parser = orderings())]
    ordering: Option<Ordering>,
    /// Under a committee: a member beside the new nodes, with the key that `synod validator key` told it; may be given
    /// again
    #[arg(long = "member", value_name = "NAME=KEY")]
    members: Vec<NamedKey>,
}

/// `NAME=KEY`.
#[derive(Debug, Clone)]
struct NamedKey {
    name: Name,
    key: PublicKey,
}

impl FromStr for NamedKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, key) = text.split_once('=').ok_or("write NAME=KEY, for example acme=3b6a27bc…")?;
        let name = name.parse().map_err(|error: NameError| error.to_string())?;
        Ok(Self { name, key: parse_key(key)? })
    }
}

fn orderings() -> impl TypedValueParser<Value = Ordering> {
    let names = Ordering::ALL.map(Ordering::name);
    PossibleValuesParser::new(names).map(|name| Ordering::from_name(&name).unwrap_or(Ordering::Pow))
}

impl CommitteeOptions {
    /// Who orders.
    pub(super) fn ordering(&self) -> Ordering {
        self.ordering.unwrap_or(Ordering::Pow)
    }

    /// The first committee of a network with these nodes of its own.
    ///
    /// # Errors
    /// Members under proof of work, or a number of them that makes no good committee.
    pub(super) fn members<'a>(
        &self,
        own: impl Iterator<Item = (&'a str, PublicKey)>,
    ) -> Outcome<Vec<Member>> {
        let Some(model) = fault_model(self.ordering()) else {
            if self.members.is_empty() {
                return Ok(Vec::new());
            }
            return Err(Failure::usage(
                "no_committee",
                "--member is of a committee, and pow orders this network",
            )
            .hint("add --ordering pbft, or another committee's"));
        };
        let own = own.map(|(name, key)| Member { name: name.to_owned(), key });
        let named = self.members.iter().map(|one| Member { name: one.name.to_string(), key: one.key });
        let members: Vec<Member> = own.chain(named).collect();
        check(members.len(), model)?;
        Ok(members)
    }
}

/// Refuses sizes that survive nothing, or no more than a smaller one.
fn check(members: usize, model: FaultModel) -> Outcome<()> {
    let refused = |problem: String| {
        Failure::usage("bad_committee", problem)
            .hint("--node NAME=IP:PORT makes a member here, --member NAME=KEY names one elsewhere")
    };
    let quorums = Quorums::new(members, model).map_err(|error| refused(error.to_string()))?;
    match (model, members) {
        (FaultModel::Crash, ..3) => Err(refused(format!(
            "{members} members survive f = ⌊({members} − 1) / 2⌋ = 0 that stop: add {} more, since one needs 2·1 + 1 = 3 members",
            3 - members
        ))),
        (FaultModel::Crash, _) if members.is_multiple_of(2) => Err(refused(format!(
            "{members} members survive f = ⌊({members} − 1) / 2⌋ = {faults} that stop, as {} do, and a majority is {} instead of {}: name {} or {}",
            members - 1,
            quorums.quorum,
            quorums.quorum - 1,
            members - 1,
            members + 1,
            faults = quorums.faults,
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_refused_with_its_arithmetic() {
        let told = |members, model| check(members, model).err().map(|failure| failure.to_string());
        for (members, model, part) in [
            (3, FaultModel::Byzantine, "3·1 + 1 = 4"),
            (1, FaultModel::Crash, "add 2 more"),
            (2, FaultModel::Crash, "2·1 + 1 = 3"),
            (4, FaultModel::Crash, "= 1 that stop, as 3 do, and a majority is 3 instead of 2: name 3 or 5"),
        ] {
            assert!(told(members, model).unwrap().contains(part), "{members}");
        }
        for (members, model) in
            [(4, FaultModel::Byzantine), (6, FaultModel::Byzantine), (3, FaultModel::Crash)]
        {
            assert_eq!(told(members, model), None, "{members}");
        }
    }
}
