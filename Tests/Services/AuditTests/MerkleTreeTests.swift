import Bytes
import Testing

@testable import Audit

@Suite struct MerkleTreeTests {
    /// The eight leaves and roots that implementations of RFC 6962 have used as vectors since the first of them.
    static let vectorLeaves: [String] = [
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    ]
    static let vectorRoots: [String] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]

    private func vectorTree(_ count: Int = 8) throws -> MemoryTree {
        try MemoryTree(Self.vectorLeaves[..<count].map { try #require(Hex.decode($0)) })
    }

    private func hex(_ hashes: [TreeHash]) -> [String] { hashes.map { Hex.encode($0.bytes) } }

    @Test func theEmptyTreeHasTheHashOfNothing() throws {
        let expected: String = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        #expect(Hex.encode(TreeHash.ofEmptyTree.bytes) == expected)
        #expect(try MerkleTree.root(size: 0, from: MemoryTree().source) == TreeHash.ofEmptyTree)
    }

    @Test(arguments: 1...8) func rootsAreThoseOfTheKnownVectors(size: Int) throws {
        #expect(try Hex.encode(self.vectorTree(size).root.bytes) == Self.vectorRoots[size - 1])
        #expect(
            try Hex.encode(MerkleTree.root(size: Int64(size), from: self.vectorTree().source).bytes)
                == Self.vectorRoots[size - 1])
    }

    @Test func inclusionProofsAreThoseOfTheKnownVectors() throws {
        let tree: TileTree = try self.vectorTree().source
        #expect(try MerkleTree.inclusionProof(leaf: 0, size: 1, from: tree).isEmpty)
        #expect(
            try self.hex(MerkleTree.inclusionProof(leaf: 0, size: 8, from: tree)) == [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ])
        #expect(
            try self.hex(MerkleTree.inclusionProof(leaf: 5, size: 8, from: tree)) == [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ])
        #expect(
            try self.hex(MerkleTree.inclusionProof(leaf: 2, size: 3, from: tree)) == [
                "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
            ])
    }

    @Test func consistencyProofsAreThoseOfTheKnownVectors() throws {
        let tree: TileTree = try self.vectorTree().source
        #expect(try MerkleTree.consistencyProof(from: 1, to: 1, from: tree).isEmpty)
        #expect(
            try self.hex(MerkleTree.consistencyProof(from: 6, to: 8, from: tree)) == [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ])
        #expect(
            try self.hex(MerkleTree.consistencyProof(from: 2, to: 5, from: tree)) == [
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ])
    }

    @Test func everyRootAndProofUpTo130LeavesIsThatOfTheDefinition() throws {
        let entries: [[UInt8]] = makeEntries(130)
        let source: TileTree = try MemoryTree(entries).source
        var frontier: TreeFrontier = TreeFrontier()
        for size in 0...entries.count {
            let prefix: ArraySlice<[UInt8]> = entries[..<size]
            let root: TreeHash = try MerkleTree.root(size: Int64(size), from: source)
            #expect(root.bytes == NaiveMerkle.root(prefix), "root of \(size)")
            #expect(frontier.root == root && frontier.size == Int64(size))
            for leaf in 0..<size {
                let proof: [TreeHash] = try MerkleTree.inclusionProof(
                    leaf: Int64(leaf), size: Int64(size), from: source)
                // The naive paths cost the square of the size; all of them up to 40, then every seventh.
                if size <= 40 || (size + leaf).isMultiple(of: 7) {
                    #expect(proof.map(\.bytes) == NaiveMerkle.path(leaf, prefix), "leaf \(leaf) of \(size)")
                }
                #expect(
                    MerkleTree.verifiesInclusion(
                        of: TreeHash(leaf: entries[leaf]), leaf: Int64(leaf), size: Int64(size), root: root,
                        proof: proof))
            }
            for older in 0...size {
                let proof: [TreeHash] = try MerkleTree.consistencyProof(
                    from: Int64(older), to: Int64(size), from: source)
                if older > 0, size <= 40 || (size + older).isMultiple(of: 7) {
                    #expect(proof.map(\.bytes) == NaiveMerkle.proof(older, prefix), "\(older) to \(size)")
                }
                let olderRoot: TreeHash = try MerkleTree.root(size: Int64(older), from: source)
                #expect(
                    MerkleTree.verifiesConsistency(
                        from: Int64(older), root: olderRoot, to: Int64(size), root: root, proof: proof))
            }
            if size < entries.count { frontier.append(TreeHash(leaf: entries[size])) }
        }
    }

    @Test func aProofOfAnythingElseIsRefused() throws {
        let entries: [[UInt8]] = makeEntries(70)
        let tree: MemoryTree = try MemoryTree(entries)
        let strange: TreeHash = TreeHash(leaf: Array("strange".utf8))
        for leaf: Int64 in 0..<70 {
            let hash: TreeHash = TreeHash(leaf: entries[Int(leaf)])
            let proof: [TreeHash] = try MerkleTree.inclusionProof(leaf: leaf, size: 70, from: tree.source)
            func verifies(_ hash: TreeHash, _ leaf: Int64, _ size: Int64, _ root: TreeHash, _ proof: [TreeHash]) -> Bool
            {
                MerkleTree.verifiesInclusion(of: hash, leaf: leaf, size: size, root: root, proof: proof)
            }
            #expect(verifies(hash, leaf, 70, tree.root, proof))
            #expect(!verifies(strange, leaf, 70, tree.root, proof))
            #expect(!verifies(hash, (leaf + 1) % 70, 70, tree.root, proof))
            #expect(!verifies(hash, leaf, 70, strange, proof))
            #expect(!verifies(hash, leaf, 70, tree.root, proof + [strange]))
            #expect(!verifies(hash, leaf, 70, tree.root, Array(proof.dropLast())))
            #expect(!verifies(hash, leaf, 70, tree.root, proof.reversed() + []) || proof.count < 2)
            #expect(!verifies(hash, -1, 70, tree.root, proof) && !verifies(hash, 70, 70, tree.root, proof))
        }
    }

    @Test func aRewrittenPastIsNeverConsistent() throws {
        var rewritten: [[UInt8]] = makeEntries(70)
        rewritten[11] = Array("something else".utf8)
        let old: MemoryTree = try MemoryTree(makeEntries(70))
        let new: MemoryTree = try MemoryTree(rewritten)
        for size: Int64 in 12..<70 {
            let oldRoot: TreeHash = try MerkleTree.root(size: size, from: old.source)
            let proof: [TreeHash] = try MerkleTree.consistencyProof(from: size, to: 70, from: new.source)
            #expect(!MerkleTree.verifiesConsistency(from: size, root: oldRoot, to: 70, root: new.root, proof: proof))
            let honest: [TreeHash] = try MerkleTree.consistencyProof(from: size, to: 70, from: old.source)
            #expect(!MerkleTree.verifiesConsistency(from: size, root: oldRoot, to: 70, root: new.root, proof: honest))
            #expect(
                !MerkleTree.verifiesConsistency(
                    from: size, root: oldRoot, to: 70, root: old.root, proof: honest + [oldRoot]))
        }
        #expect(!MerkleTree.verifiesConsistency(from: 70, root: old.root, to: 70, root: new.root, proof: []))
        #expect(!MerkleTree.verifiesConsistency(from: 5, root: old.root, to: 3, root: new.root, proof: []))
        #expect(!MerkleTree.verifiesConsistency(from: 0, root: old.root, to: 3, root: new.root, proof: []))
    }

    @Test func leavesAndSizesThatAreNotThereAreRefused() throws {
        let source: TileTree = try MemoryTree(makeEntries(5)).source
        #expect(throws: TreeError.noSuchLeaf(leaf: 5, size: 5)) {
            try MerkleTree.inclusionProof(leaf: 5, size: 5, from: source)
        }
        #expect(throws: TreeError.noSuchSize(size: 6, available: 5)) {
            try MerkleTree.consistencyProof(from: 6, to: 5, from: source)
        }
        #expect(throws: TreeError.missingNode(level: 1, index: 2)) { try MerkleTree.root(size: 6, from: source) }
    }
}
