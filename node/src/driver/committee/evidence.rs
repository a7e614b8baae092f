//! What members did wrong, kept on this node's disk: one file for each finding, in `evidence/`.
//!
//! A contradiction is two statements that one member signed and no honest one makes both; whoever knows the
//! committee can check it. A divergence is why this member stands still. Both are rare, and synced at once: the
//! second is the last thing that a process does. A liar can contradict itself without end, so that of each member
//! and epoch only the first few are kept.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use synod_consensus::committee::{Committee, Evidence};
use synod_types::{Height, Position, codec};

use crate::rpc::types::{ContradictionView, DivergenceView, EvidenceView};

/// Of one member in one epoch.
const OF_ONE_MEMBER: usize = 16;
/// All that is read back.
const ALL: usize = 1_024;
/// A finding's file: two view changes with all their certificates, in hexadecimal.
const FILE_LIMIT: u64 = 24 * 1024 * 1024;

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct EvidenceFolder(PathBuf);

impl EvidenceFolder {
    /// The folder of the node whose own folder this is. It is made once there is something to keep.
    pub(super) fn of(node: &Path) -> Self {
        Self(node.join("evidence"))
    }

    /// Keeps a contradiction, unless it is known or its member has had its share.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn contradiction(
        &self,
        evidence: &Evidence,
        proves: String,
        committee: &Committee,
        height: Height,
    ) -> io::Result<()> {
        let (epoch, member) = (committee.epoch(), evidence.member);
        let of_member = format!("epoch-{epoch}-member-{member}-");
        let known = self.names()?.into_iter().filter(|name| name.starts_with(&of_member)).count();
        if known >= OF_ONE_MEMBER {
            return Ok(());
        }
        let record = committee.record().members.get(usize::from(member.0));
        let view = EvidenceView::Contradiction(ContradictionView {
            id: evidence.id(),
            epoch: epoch.0,
            member: member.0,
            name: record.map(|member| member.name.clone()).unwrap_or_default(),
            key: record.map(|member| member.key),
            proves,
            height,
            seen_ms: wall_ms(),
            evidence: codec::encode(evidence).into(),
        });
        self.write(&format!("{of_member}{}.json", &evidence.id().to_string()[2..18]), &view)
    }

    /// Keeps why this member stands still; the file's name.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn divergence(
        &self,
        position: Position,
        height: Height,
        ours: String,
        theirs: String,
    ) -> io::Result<String> {
        let name = format!("divergence-{height}.json");
        let view =
            EvidenceView::Divergence(DivergenceView { position, height, ours, theirs, seen_ms: wall_ms() });
        self.write(&name, &view)?;
        Ok(name)
    }

    /// All that is kept, by name. A file that cannot be read is left out, and said so in the log.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn all(&self) -> io::Result<Vec<EvidenceView>> {
        let mut names = self.names()?;
        names.sort();
        names.truncate(ALL);
        let read = |name: String| {
            let view = self.read(&name);
            view.inspect_err(|error| tracing::warn!(%name, %error, "evidence that cannot be read")).ok()
        };
        Ok(names.into_iter().filter_map(read).collect())
    }

    fn read(&self, name: &str) -> io::Result<EvidenceView> {
        let path = self.0.join(name);
        if fs::metadata(&path)?.len() > FILE_LIMIT {
            return Err(io::Error::other("too long"));
        }
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        Ok(entries.filter_map(name).filter(|name| name.ends_with(".json")).collect())
    }

    fn write(&self, name: &str, view: &EvidenceView) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let (path, fresh) = (self.0.join(name), self.0.join(format!("{name}.new")));
        if path.try_exists()? {
            return Ok(());
        }
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(view)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(&self.0)?.sync_all()
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use synod_consensus::committee::{Attestation, Attested, SignedStatement};
    use synod_types::{B256, BlockHash, Epoch, Slot};

    use super::*;
    use crate::driver::committee::fixture::Four;

    fn two_blocks(four: &Four, height: u64) -> Evidence {
        let signer = &four.signers[2];
        let statement = |byte| {
            let position = Position { epoch: Epoch(0), slot: Slot(height) };
            let block_hash = BlockHash(B256::repeat_byte(byte));
            let statement = Attested { position, height: Height(height), block_hash };
            SignedStatement::from(&Attestation::new(&four.committee, signer, statement))
        };
        Evidence { member: signer.index(), first: statement(1), second: statement(2) }
    }

    #[test]
    fn a9_what_is_kept_can_be_checked_by_whoever_reads_it() {
        let (four, folder) = (Four::new(1), tempfile::tempdir().unwrap());
        let kept = EvidenceFolder::of(folder.path());
        assert_eq!(kept.all().unwrap(), []);
        let evidence = two_blocks(&four, 7);
        let proves = synod_consensus::pbft::evidence::proves(&evidence, &four.committee).unwrap();
        assert_eq!(proves, "attested two blocks at one place");
        for _ in 0..2 {
            kept.contradiction(&evidence, proves.clone(), &four.committee, Height(6)).unwrap();
        }
        let all = EvidenceFolder::of(folder.path()).all().unwrap();
        let [EvidenceView::Contradiction(view)] = &all[..] else { panic!("{all:?}") };
        assert_eq!((view.member, view.name.as_str(), view.height), (2, "2", Height(6)));
        let read: Evidence = codec::decode::<_, { 1 << 20 }>(&view.evidence).unwrap();
        assert!(synod_consensus::pbft::evidence::is_proof(&read, &four.committee));
    }

    #[test]
    fn a7_a_member_that_contradicts_itself_without_end_fills_no_disk() {
        let (four, folder) = (Four::new(1), tempfile::tempdir().unwrap());
        let kept = EvidenceFolder::of(folder.path());
        for height in 1..100 {
            let evidence = two_blocks(&four, height);
            kept.contradiction(&evidence, "lied".to_owned(), &four.committee, Height(0)).unwrap();
        }
        let position = Position { epoch: Epoch(0), slot: Slot(9) };
        let name = kept.divergence(position, Height(9), "this".to_owned(), "that".to_owned()).unwrap();
        assert_eq!(name, "divergence-9.json");
        assert_eq!(kept.all().unwrap().len(), OF_ONE_MEMBER + 1);
    }

    #[test]
    fn a_damaged_file_hides_no_other() {
        let (four, folder) = (Four::new(1), tempfile::tempdir().unwrap());
        let kept = EvidenceFolder::of(folder.path());
        kept.contradiction(&two_blocks(&four, 1), "lied".to_owned(), &four.committee, Height(0)).unwrap();
        fs::write(folder.path().join("evidence/a.json"), b"{").unwrap();
        assert_eq!(kept.all().unwrap().len(), 1);
    }
}
