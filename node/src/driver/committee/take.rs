//! Taking a snapshot from peers, of whom some lie (PBFT-15, S-B9).
//!
//! One peer after another is asked what it has. An offer counts once its proof leads from the genesis to its block;
//! then its chunks are asked for in order, from whoever has that snapshot, the offer's server first. A chunk that is
//! not what the manifest names is its server's lie. One that is, and is not the certified state's own, is the lie of
//! whoever gave the manifest: the offer goes, and with it what was written. Either is met at the first such chunk.
//! A server that has none, or no longer that one, says so and is not blamed. An offer below what makes it worth
//! while is passed over, so that nobody leads us down.

use std::collections::BTreeSet;

use alloy_primitives::Bytes;
use serde::{Deserialize, Serialize};
use synod_ledger::disk::Disk;
use synod_ledger::snapshot::{ChunkError, Intake, Manifest, SnapshotError, Snapshots};
use synod_types::{B256, Genesis, Height, codec};

use super::fetch::{ANSWER_LIMIT, Answer, Question};
use super::proof::Proof;
use crate::network::PeerName;

/// How often everybody is asked for one chunk.
const ROUNDS: usize = 3;
/// Chunks between two lines of the log.
const LOG_PACE: u32 = 64;

/// Who is asked, and what becomes of liars.
pub(super) trait Servers {
    /// Whom to ask, the likeliest first.
    fn peers(&self) -> Vec<PeerName>;
    /// A peer's answer; `None` if none came.
    fn ask(&self, peer: PeerName, question: Question) -> Option<Answer>;
    /// It lied.
    fn blame(&self, peer: PeerName);
    /// Waits a little before everybody is asked again; `false` when the node stops.
    fn pause(&self) -> bool;
}

/// What a peer offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    /// The manifest.
    pub(super) manifest: Bytes,
    /// That its block is final.
    pub(super) proof: Bytes,
}

/// How an offer's chunks ended.
enum Ended {
    Whole,
    /// The manifest is not of the state.
    Lie(ChunkError),
    /// Nobody gave a chunk.
    NobodyLeft,
    Stopping,
}

/// Takes a snapshot at least as high as `lowest`, and makes it whole on the disk. `None` if nobody has one.
///
/// # Errors
/// The disk's.
pub(super) fn take<S: Servers, D: Disk>(
    servers: &S,
    snapshots: &Snapshots<D>,
    genesis: &Genesis,
    lowest: Height,
) -> Result<Option<Manifest>, SnapshotError> {
    let peers = servers.peers();
    let mut liars = BTreeSet::new();
    for peer in &peers {
        if liars.contains(peer) {
            continue;
        }
        let Some(Answer::Here(bytes)) = servers.ask(*peer, Question::Snapshot) else { continue };
        let Some((manifest, proof)) = read_offer(&bytes, genesis) else {
            tracing::warn!(%peer, "a peer's snapshot is not proven");
            servers.blame(*peer);
            liars.insert(*peer);
            continue;
        };
        // An epoch's last block is never offered: whoever begins there would not know who certified it.
        if manifest.height() < lowest || manifest.commitment().next_committee != B256::ZERO {
            continue;
        }
        let height = manifest.height();
        tracing::info!(
            %peer, %height, chunks = manifest.chunks().len(), bytes = manifest.bytes(), "fetching a snapshot"
        );
        let sources: Vec<PeerName> =
            [*peer].into_iter().chain(peers.iter().copied().filter(|other| other != peer)).collect();
        match chunks(servers, snapshots, &manifest, &proof, &sources, &mut liars)? {
            Ended::Whole => return Ok(Some(manifest)),
            Ended::Stopping => return Ok(None),
            Ended::NobodyLeft => tracing::warn!(%height, "no peer gave all chunks of a snapshot"),
            Ended::Lie(error) => {
                tracing::warn!(%peer, %height, %error, "a peer's snapshot is not the certified state");
                servers.blame(*peer);
                liars.insert(*peer);
            }
        }
        snapshots.remove(height)?;
    }
    Ok(None)
}

fn read_offer(bytes: &[u8], genesis: &Genesis) -> Option<(Manifest, Bytes)> {
    let offer: Offer = codec::decode::<_, ANSWER_LIMIT>(bytes).ok()?;
    let manifest = Manifest::read(&offer.manifest, genesis).ok()?;
    let proof = Proof::from_bytes(&offer.proof)?;
    proof.proves(genesis, manifest.height(), manifest.hash()).then_some((manifest, offer.proof))
}

fn chunks<S: Servers, D: Disk>(
    servers: &S,
    snapshots: &Snapshots<D>,
    manifest: &Manifest,
    proof: &[u8],
    sources: &[PeerName],
    liars: &mut BTreeSet<PeerName>,
) -> Result<Ended, SnapshotError> {
    let (mut draft, mut intake) = (snapshots.begin(manifest.height())?, Intake::new(manifest.clone()));
    let mut without = BTreeSet::new();
    'chunks: while let Some((index, _)) = intake.next() {
        let question = Question::Chunk { height: manifest.height(), index };
        for round in 0..ROUNDS {
            if round > 0 && !servers.pause() {
                return Ok(Ended::Stopping);
            }
            for peer in sources {
                if liars.contains(peer) || without.contains(peer) {
                    continue;
                }
                let bytes = match servers.ask(*peer, question) {
                    Some(Answer::Here(bytes)) => bytes,
                    Some(_) => {
                        without.insert(*peer);
                        continue;
                    }
                    None => continue,
                };
                match intake.take(&bytes) {
                    Ok(()) => {
                        draft.add(&bytes)?;
                        if index % LOG_PACE == LOG_PACE - 1 {
                            tracing::info!(
                                chunk = index + 1,
                                of = manifest.chunks().len(),
                                "a snapshot comes"
                            );
                        }
                        continue 'chunks;
                    }
                    Err(ChunkError::Hash) => {
                        tracing::warn!(%peer, index, "a chunk is not what the manifest names");
                        servers.blame(*peer);
                        liars.insert(*peer);
                    }
                    Err(error) => return Ok(Ended::Lie(error)),
                }
            }
        }
        return Ok(Ended::NobodyLeft);
    }
    match intake.finish() {
        Ok(manifest) => draft.finish(&manifest, proof).map(|()| Ended::Whole),
        Err(error) => Ok(Ended::Lie(error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use synod_consensus::committee::{
        Attestation, Attested, Certificate, Committee, EpochRecord, Signatures, Signer,
    };
    use synod_ledger::disk::SimDisk;
    use synod_ledger::execution::Proposal;
    use synod_ledger::snapshot::{ChunkName, make};
    use synod_ledger::{Ledger, MemoryHistory, Options};
    use synod_types::genesis::Member;
    use synod_types::hash::sha256;
    use synod_types::{Address, BlockHash, Commitment, Header, SecretKey, U256, UnixMillis};

    use super::*;
    use crate::driver::committee::fixture;

    /// The block of the snapshot, and the one that is certified.
    const HEIGHT: u64 = 6;
    const CERTIFIED: u64 = 8;
    /// Enough for two chunks.
    const ACCOUNTS: u64 = 17_500;

    fn key(number: u8) -> SecretKey {
        SecretKey::from_seed(&[number; 32])
    }

    fn genesis() -> Genesis {
        let member = |number: u8| Member { name: format!("m{number}"), key: key(number).public() };
        let account = |number: u64| Address::from_slice(&sha256(&[&number.to_be_bytes()])[12..]);
        Genesis {
            members: (1..=4).map(member).collect(),
            alloc: (0..ACCOUNTS).map(|number| (account(number), U256::from(7))).collect(),
            ..fixture::genesis()
        }
    }

    fn certificate(genesis: &Genesis, height: u64, block_hash: BlockHash, signers: usize) -> Certificate {
        let committee = Committee::new(genesis.hash(), EpochRecord::first(genesis).unwrap()).unwrap();
        let position =
            synod_types::Position { epoch: synod_types::Epoch(0), slot: synod_types::Slot(height) };
        let statement = Attested { position, height: Height(height), block_hash };
        let attest = |number: u8| {
            let signer = Signer::new(&committee, key(number)).unwrap();
            (signer.index(), Attestation::new(&committee, &signer, statement).signature)
        };
        let signed = (1..=4).map(attest).take(signers).collect();
        Certificate { statement, signatures: Signatures::new(&signed) }
    }

    /// What an honest member has.
    struct World {
        genesis: Genesis,
        offer: Offer,
        proof: Proof,
        chunks: Vec<Bytes>,
        manifest: Manifest,
    }

    fn world() -> World {
        let genesis = genesis();
        let mut ledger =
            Ledger::open(genesis.clone(), MemoryHistory::default(), Options::new([1; 32])).unwrap().0;
        let mut blocks = Vec::new();
        for _ in 0..CERTIFIED {
            let time = UnixMillis(ledger.head().time().0 + 1_000);
            let (proposer, fee_recipient) = (Address::ZERO, Address::ZERO);
            let proposal = Proposal { time, proposer, fee_recipient, transactions: Vec::new() };
            blocks.push(ledger.extend(proposal).unwrap().executed);
        }
        let headers = |from: u64, to: u64| -> Vec<Header> {
            blocks[from as usize..to as usize].iter().map(|block| block.header).collect()
        };
        let certified = certificate(&genesis, CERTIFIED, blocks[CERTIFIED as usize - 1].hash, 3);
        let proof = Proof { ends: Vec::new(), certificate: certified, headers: headers(HEIGHT, CERTIFIED) };
        let (snapshots, _) = Snapshots::open(SimDisk::new(0), &genesis).unwrap();
        let block = &blocks[HEIGHT as usize - 1];
        let manifest = make(&snapshots, &genesis, block, headers(0, HEIGHT), &proof.to_bytes()).unwrap();
        let chunks = 0..manifest.chunks().len() as u32;
        let chunks: Vec<Bytes> =
            chunks.map(|index| snapshots.chunk(Height(HEIGHT), index).unwrap().into()).collect();
        assert_eq!(chunks.len(), 2);
        let offer = Offer { manifest: manifest.to_bytes().into(), proof: proof.to_bytes().into() };
        World { genesis, offer, proof, chunks, manifest }
    }

    /// A manifest as its bytes lie, to be written by liars.
    #[derive(Serialize, Deserialize)]
    struct Written {
        format: u32,
        chain_id: u64,
        genesis: [u8; 32],
        headers: Vec<Header>,
        commitment: Commitment,
        chunks: Vec<ChunkName>,
    }

    impl World {
        /// The offer of somebody whose manifest names these chunks.
        fn naming(&self, chunks: &[Bytes]) -> Offer {
            let mut written: Written = codec::decode::<_, ANSWER_LIMIT>(&self.offer.manifest).unwrap();
            let name = |bytes: &Bytes| ChunkName { hash: sha256(&[bytes]), length: bytes.len() as u32 };
            written.chunks = chunks.iter().map(name).collect();
            Offer { manifest: codec::encode(&written).into(), ..self.offer.clone() }
        }

        /// A server of this offer and these chunks.
        fn serving(&self, offer: &Offer, chunks: &[Bytes]) -> Server {
            let (offer, chunks) = (Bytes::from(codec::encode(offer)), chunks.to_vec());
            Box::new(move |question| match question {
                Question::Snapshot => Some(Answer::Here(offer.clone())),
                Question::Chunk { height: Height(HEIGHT), index } => {
                    Some(chunks.get(index as usize).cloned().map_or(Answer::None, Answer::Here))
                }
                _ => Some(Answer::None),
            })
        }

        fn honest(&self) -> Server {
            self.serving(&self.offer, &self.chunks)
        }

        /// Takes from these peers, the first first.
        fn taken(&self, peers: Vec<Server>, lowest: u64) -> Told {
            let disk = SimDisk::new(1);
            let (snapshots, _) = Snapshots::open(disk.clone(), &self.genesis).unwrap();
            let peers = (1..).map(|number| PeerName::from_bytes([number; 32])).zip(peers).collect();
            let crowd = Crowd { peers, blamed: RefCell::default(), asked: RefCell::default() };
            let taken = take(&crowd, &snapshots, &self.genesis, Height(lowest)).unwrap();
            let is_whole = taken.is_some();
            if is_whole {
                assert_eq!(taken, Some(self.manifest.clone()));
                assert_eq!(
                    snapshots.load(Height(HEIGHT)).unwrap().view().entries().accounts.len(),
                    ACCOUNTS as usize
                );
                let proof = Proof::from_bytes(&snapshots.proof(Height(HEIGHT)).unwrap());
                assert_eq!(proof.as_ref(), Some(&self.proof));
            } else {
                assert_eq!(disk.list().unwrap(), Vec::<String>::new(), "nothing half taken is left");
            }
            Told { is_whole, blamed: crowd.blamed.into_inner(), asked: crowd.asked.into_inner() }
        }
    }

    type Server = Box<dyn Fn(Question) -> Option<Answer>>;

    struct Crowd {
        peers: BTreeMap<PeerName, Server>,
        blamed: RefCell<Vec<u8>>,
        asked: RefCell<Vec<(u8, Question)>>,
    }

    /// What became of it.
    struct Told {
        is_whole: bool,
        blamed: Vec<u8>,
        asked: Vec<(u8, Question)>,
    }

    impl Told {
        fn highest_chunk(&self, peer: u8) -> Option<u32> {
            let chunks = self.asked.iter().filter(|(asked, _)| *asked == peer);
            let chunks = chunks.filter_map(|(_, question)| match question {
                Question::Chunk { index, .. } => Some(*index),
                _ => None,
            });
            chunks.max()
        }
    }

    impl Servers for Crowd {
        fn peers(&self) -> Vec<PeerName> {
            self.peers.keys().copied().collect()
        }

        fn ask(&self, peer: PeerName, question: Question) -> Option<Answer> {
            self.asked.borrow_mut().push((peer.as_bytes()[0], question));
            self.peers[&peer](question)
        }

        fn blame(&self, peer: PeerName) {
            self.blamed.borrow_mut().push(peer.as_bytes()[0]);
        }

        fn pause(&self) -> bool {
            true
        }
    }

    fn nobody() -> Server {
        Box::new(|_| Some(Answer::None))
    }

    fn silent() -> Server {
        Box::new(|_| None)
    }

    /// S-B9: whatever others serve, one honest peer is enough, and only liars pay.
    #[test]
    fn one_honest_server_is_enough_and_each_lie_is_found_where_it_is_told() {
        let world = world();
        let told = world.taken(vec![nobody(), silent(), world.honest()], 1);
        assert_eq!((told.is_whole, told.blamed), (true, vec![]), "to have none, or to be away, is no lie");

        // Nonsense, and proofs of nothing.
        let unproven = |change: &dyn Fn(&mut Proof)| {
            let mut proof = world.proof.clone();
            change(&mut proof);
            world.serving(&Offer { proof: proof.to_bytes().into(), ..world.offer.clone() }, &world.chunks)
        };
        let other = BlockHash(B256::repeat_byte(9));
        let liars: Vec<Server> = vec![
            Box::new(|_| Some(Answer::Here(Bytes::from_static(b"nonsense")))),
            unproven(&|proof| {
                let hash = proof.certificate.statement.block_hash;
                proof.certificate = certificate(&world.genesis, CERTIFIED, hash, 2);
            }),
            unproven(&|proof| proof.certificate = certificate(&world.genesis, CERTIFIED, other, 3)),
            unproven(&|proof| proof.headers.truncate(1)),
            unproven(&|proof| proof.headers.swap(0, 1)),
            unproven(&|proof| {
                proof.headers.clear();
                proof.certificate = certificate(&world.genesis, HEIGHT, other, 3);
            }),
        ];
        let count = liars.len() as u8;
        let told = world.taken(liars.into_iter().chain([world.honest()]).collect(), 1);
        assert_eq!((told.is_whole, told.blamed), (true, (1..=count).collect()));

        // A wrong snapshot under a true certificate: whoever gave its manifest is found at the first wrong chunk.
        for at in 0..2_usize {
            let mut chunks = world.chunks.clone();
            let mut bytes = chunks[at].to_vec();
            let last = bytes.len() - 2;
            bytes[last] ^= 1;
            chunks[at] = bytes.into();
            let liar = world.serving(&world.naming(&chunks), &chunks);
            let told = world.taken(vec![liar, world.honest()], 1);
            assert_eq!((told.is_whole, &told.blamed), (true, &vec![1]), "chunk {at}");
            assert_eq!(told.highest_chunk(1), Some(at as u32));
        }

        // Endless chunks end at the first that the state does not have; too few are none.
        let endless: Vec<Bytes> = world.chunks.iter().cycle().take(60_000).cloned().collect();
        let told = world.taken(vec![world.serving(&world.naming(&endless), &endless), world.honest()], 1);
        assert_eq!((told.is_whole, &told.blamed, told.highest_chunk(1)), (true, &vec![1], Some(2)));
        let few = &world.chunks[..1];
        let told = world.taken(vec![world.serving(&world.naming(few), few), world.honest()], 1);
        assert_eq!((told.is_whole, &told.blamed), (true, &vec![1]));
    }

    #[test]
    fn chunks_come_from_whoever_has_them() {
        let world = world();
        // The wrong chunk for its index: its server's lie, and the snapshot goes on with another's.
        let shifted = [&world.chunks[1..], &world.chunks[..1]].concat();
        let told = world.taken(vec![world.serving(&world.offer, &shifted), world.honest()], 1);
        assert_eq!((told.is_whole, &told.blamed, told.highest_chunk(2)), (true, &vec![1], Some(1)));
        assert!(!told.asked.contains(&(2, Question::Snapshot)), "one manifest was enough");
        // No longer that one, in the middle.
        let cut = world.serving(&world.offer, &world.chunks[..1]);
        let told = world.taken(vec![cut, silent(), world.honest()], 1);
        assert_eq!((told.is_whole, told.blamed), (true, vec![]));
        let cut = world.serving(&world.offer, &world.chunks[..1]);
        let told = world.taken(vec![cut, nobody()], 1);
        assert_eq!((told.is_whole, told.blamed), (false, vec![]));
        // A server that falls silent for a while.
        let (answers, honest) = (RefCell::new(0), world.honest());
        let slow: Server = Box::new(move |question| {
            *answers.borrow_mut() += 1;
            if *answers.borrow() % 2 == 0 { None } else { honest(question) }
        });
        assert!(world.taken(vec![slow], 1).is_whole);
    }

    #[test]
    fn nobody_is_led_down_or_over_an_unknown_committee() {
        let world = world();
        let told = world.taken(vec![world.honest()], HEIGHT + 1);
        assert_eq!((told.is_whole, told.blamed), (false, vec![]), "it would spare too little");
        assert_eq!(told.asked, [(1, Question::Snapshot)]);
        assert!(world.taken(vec![world.honest()], HEIGHT).is_whole);
        let told = world.taken(vec![], 1);
        assert!(!told.is_whole);
        let abroad = Genesis { salt: B256::repeat_byte(5), ..world.genesis.clone() };
        assert!(world.proof.proves(&world.genesis, Height(HEIGHT), world.manifest.hash()));
        assert!(!world.proof.proves(&abroad, Height(HEIGHT), world.manifest.hash()));
        assert!(!world.proof.proves(&world.genesis, Height(HEIGHT - 1), world.manifest.hash()));
        assert_eq!(Proof::from_bytes(&[0xff; 100]), None);
    }
}
