//! Leaves that come and go, one at a time. The hashes of moved subtrees move with them; hashes above the place
//! are left to the batch's last pass.

use synod_types::B256;

use super::{LEAF_BIT, Leaf, Link, Node, Slot, Trie, bit, first_difference};

impl Trie {
    /// Adds a leaf whose key is absent.
    pub(super) fn insert(&mut self, leaf: Leaf) {
        let Some(root) = self.root else {
            self.root = Some(self.new_leaf(leaf));
            self.root_hash = B256::ZERO;
            return;
        };
        let mut end = root;
        while !end.is_leaf() {
            let node = &self.nodes[end.index()];
            end = node.children[bit(&leaf.key, node.depth)];
        }
        let depth = first_difference(&leaf.key, &self.leaves[end.index()].key);
        self.split(leaf, root, depth);
    }

    /// Puts a new inner node above the leaf, where the walk from `root` towards it passes bit `depth`.
    fn split(&mut self, leaf: Leaf, root: Link, depth: u8) {
        let (mut slot, mut link) = (Slot::Root, root);
        while !link.is_leaf() && self.nodes[link.index()].depth < depth {
            let node = link.index();
            let side = bit(&leaf.key, self.nodes[node].depth);
            slot = Slot::Child { node, side };
            link = self.nodes[node].children[side];
        }
        let side = bit(&leaf.key, depth);
        let mut children = [link; 2];
        let mut hashes = [self.hash_in(slot); 2];
        children[side] = self.new_leaf(leaf);
        hashes[side] = B256::ZERO;
        let node = self.new_node(Node { children, depth }, hashes);
        self.set_link(slot, node);
    }

    /// Removes the leaf of a present key; its sibling takes its parent's place.
    pub(super) fn remove(&mut self, key: &B256) {
        let (mut above, mut slot) = (Slot::Root, Slot::Root);
        let mut link = self.root.expect("the key is present");
        while !link.is_leaf() {
            let node = link.index();
            let side = bit(key, self.nodes[node].depth);
            (above, slot) = (slot, Slot::Child { node, side });
            link = self.nodes[node].children[side];
        }
        self.free_leaves.push(link.index() as u32);
        let Slot::Child { node, side } = slot else {
            self.root = None;
            return;
        };
        let (sibling, hash) = (self.nodes[node].children[1 - side], self.hashes[node][1 - side]);
        self.set_link(above, sibling);
        self.set_hash(above, hash);
        self.free_nodes.push(node as u32);
    }

    fn hash_in(&self, slot: Slot) -> B256 {
        match slot {
            Slot::Root => self.root_hash,
            Slot::Child { node, side } => self.hashes[node][side],
        }
    }

    fn set_link(&mut self, slot: Slot, link: Link) {
        match slot {
            Slot::Root => self.root = Some(link),
            Slot::Child { node, side } => self.nodes[node].children[side] = link,
        }
    }

    fn new_leaf(&mut self, leaf: Leaf) -> Link {
        if let Some(index) = self.free_leaves.pop() {
            self.leaves[index as usize] = leaf;
            return Link::leaf(index);
        }
        assert!(self.leaves.len() < LEAF_BIT as usize, "2^31 leaves are more than memory holds");
        self.leaves.push(leaf);
        Link::leaf((self.leaves.len() - 1) as u32)
    }

    fn new_node(&mut self, node: Node, hashes: [B256; 2]) -> Link {
        if let Some(index) = self.free_nodes.pop() {
            self.nodes[index as usize] = node;
            self.hashes[index as usize] = hashes;
            return Link(index);
        }
        self.nodes.push(node);
        self.hashes.push(hashes);
        Link((self.nodes.len() - 1) as u32)
    }
}
