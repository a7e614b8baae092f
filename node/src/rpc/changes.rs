//! The way between two blocks of a tree: down to the fork, then up.
//!
//! This is what a subscription's cursor means, and it is stateless: nothing is remembered for a subscriber,
//! so nothing can overflow, and a slow one is led along the same way later.

use synod_types::{BlockHash, Height};

use super::types::{Cursor, ErrorCode, Refusal};

/// A tree of blocks with one best chain, as far as the walk needs it.
pub trait BlockTree {
    /// The height and parent of a block on any branch that is kept.
    fn parent(&self, hash: BlockHash) -> Option<(Height, BlockHash)>;
    /// The block of the best chain at this height.
    fn best_at(&self, height: Height) -> Option<BlockHash>;
}

/// One step of the way: which block joins or leaves, and where the view ends afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Whether the block joins the view; otherwise it leaves.
    pub joins: bool,
    /// The block.
    pub block: BlockHash,
    /// The end of the view after this step.
    pub cursor: Cursor,
}

/// At most `limit` steps that lead from `after` to the best chain's block at height `end`.
///
/// A view above `end` on the best chain is led down to it: a settled boundary can fall when a shorter
/// branch of more work wins.
///
/// # Errors
/// `cursor_too_old` when the cursor's block, or one on the way down, is not kept.
pub fn steps(tree: &impl BlockTree, after: Cursor, end: Height, limit: usize) -> Result<Vec<Step>, Refusal> {
    let mut steps = Vec::new();
    let mut view = after;
    while steps.len() < limit && (view.height > end || tree.best_at(view.height) != Some(view.hash)) {
        let below = step_down(tree, view)?;
        steps.push(Step { joins: false, block: view.hash, cursor: below });
        view = below;
    }
    while steps.len() < limit && view.height < end && tree.best_at(view.height) == Some(view.hash) {
        let Some(above) = view.height.next() else { break };
        let Some(hash) = tree.best_at(above) else { break };
        view = Cursor { height: above, hash };
        steps.push(Step { joins: true, block: hash, cursor: view });
    }
    Ok(steps)
}

fn step_down(tree: &impl BlockTree, view: Cursor) -> Result<Cursor, Refusal> {
    let (height, parent) =
        tree.parent(view.hash).filter(|(height, _)| *height == view.height).ok_or_else(too_old)?;
    let below = height.0.checked_sub(1).ok_or_else(too_old)?;
    Ok(Cursor { height: Height(below), hash: parent })
}

fn too_old() -> Refusal {
    Refusal::new(ErrorCode::CursorTooOld, "this node does not know the cursor's block, or no longer keeps it")
        .hint("subscribe without a cursor, and read the blocks between by height")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use synod_types::B256;

    /// Blocks by hash with their parents; the best chain is that of `tip`.
    #[derive(Default)]
    struct Tree {
        parents: BTreeMap<BlockHash, (Height, BlockHash)>,
        tip: BlockHash,
    }

    fn hash(number: u16) -> BlockHash {
        let mut bytes = B256::ZERO;
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        bytes[2] = 1;
        BlockHash(bytes)
    }

    impl BlockTree for Tree {
        fn parent(&self, hash: BlockHash) -> Option<(Height, BlockHash)> {
            self.parents.get(&hash).copied()
        }

        fn best_at(&self, height: Height) -> Option<BlockHash> {
            let mut at = self.tip;
            loop {
                let (here, parent) = self.parents[&at];
                if here == height {
                    return Some(at);
                }
                if here < height || here.0 == 0 {
                    return None;
                }
                at = parent;
            }
        }
    }

    /// Block 0 is the genesis; block n hangs on one of the blocks before it.
    fn tree(choices: &[u16]) -> Tree {
        let mut tree = Tree { tip: hash(0), ..Tree::default() };
        tree.parents.insert(hash(0), (Height(0), BlockHash::default()));
        for (index, choice) in choices.iter().enumerate() {
            let parent = hash(choice % (index as u16 + 1));
            let height = Height(tree.parents[&parent].0.0 + 1);
            tree.parents.insert(hash(index as u16 + 1), (height, parent));
        }
        tree
    }

    fn ancestors(tree: &Tree, mut at: BlockHash) -> Vec<BlockHash> {
        let mut path = vec![at];
        while tree.parents[&at].0.0 > 0 {
            at = tree.parents[&at].1;
            path.push(at);
        }
        path.reverse();
        path
    }

    proptest! {
        /// A subscriber that applies the steps, however they are cut into pages, holds the best chain.
        #[test]
        fn applying_the_steps_gives_the_best_chain(
            choices in prop::collection::vec(any::<u16>(), 1..40), from in any::<u16>(), tip in any::<u16>(),
            below in 0u64..4, page in 1usize..5,
        ) {
            let mut tree = tree(&choices);
            let count = choices.len() as u16 + 1;
            let (from, tip) = (hash(from % count), hash(tip % count));
            tree.tip = tip;
            let best = ancestors(&tree, tip);
            let end = Height((best.len() as u64 - 1).saturating_sub(below));
            let mut view = ancestors(&tree, from);
            let mut cursor = Cursor { height: Height(view.len() as u64 - 1), hash: from };
            loop {
                let steps = steps(&tree, cursor, end, page).unwrap();
                for step in &steps {
                    if step.joins { view.push(step.block) } else { prop_assert_eq!(view.pop(), Some(step.block)) }
                    prop_assert_eq!(view.last(), Some(&step.cursor.hash));
                    prop_assert_eq!(view.len() as u64 - 1, step.cursor.height.0);
                    cursor = step.cursor;
                }
                if steps.is_empty() { break }
            }
            prop_assert_eq!(&view[..], &best[..=end.0 as usize]);
        }
    }

    #[test]
    fn an_unknown_block_or_a_wrong_height_is_too_old() {
        let mut tree = tree(&[0, 1]);
        tree.tip = hash(2);
        for cursor in [
            Cursor { height: Height(1), hash: hash(77) },
            Cursor { height: Height(2), hash: hash(1) },
            Cursor { height: Height(u64::MAX), hash: hash(1) },
        ] {
            assert_eq!(steps(&tree, cursor, Height(2), 10).unwrap_err().code, ErrorCode::CursorTooOld);
        }
    }
}
