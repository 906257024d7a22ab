import CLinux
import Synchronization

/// Random bytes of the kernel, fetched in blocks: a system call for every identifier would cost more than the rest of it.
///
/// Each byte is handed out once. Thread-safe. For identifiers; keys and tokens come from `Crypto`.
final class KernelRandom: Sendable {
    static let shared = KernelRandom()

    private static let blockBytes: Int = 1024

    private struct Block {
        var bytes: [UInt8] = [UInt8](repeating: 0, count: KernelRandom.blockBytes)
        var used: Int = KernelRandom.blockBytes
    }

    private let block: Mutex<Block> = Mutex(Block())

    /// The next eight bytes.
    func next() -> UInt64 {
        self.block.withLock { (block: inout Block) -> UInt64 in
            if block.used == KernelRandom.blockBytes {
                let filled: Bool = block.bytes.withUnsafeMutableBytes { clinux_random($0.baseAddress, $0.count) == 0 }
                precondition(filled, "the kernel has no random numbers (getrandom failed)")
                block.used = 0
            }
            let value: UInt64 = block.bytes.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: block.used, as: UInt64.self)
            }
            block.used += 8
            return value
        }
    }
}

/// A fast generator for what must be unlikely to repeat but need not be secret: trace ids, jitter, sampling.
///
/// xoshiro256** (256 bits of state, seeded by the kernel). One per event loop or thread: it has no lock.
package struct FastRandom: RandomNumberGenerator, Sendable {
    @usableFromInline var state0: UInt64
    @usableFromInline var state1: UInt64
    @usableFromInline var state2: UInt64
    @usableFromInline var state3: UInt64

    /// Seeded by the kernel.
    package init() {
        self.init(seed: (0..<4).map { _ in KernelRandom.shared.next() })
    }

    /// The same sequence for the same number: for tests and simulations.
    package init(seed: UInt64) {
        var mixed: UInt64 = seed
        self.init(seed: (0..<4).map { _ in FastRandom.splitMix(&mixed) })
    }

    private init(seed: [UInt64]) {
        self.state0 = seed[0]
        self.state1 = seed[1]
        self.state2 = seed[2]
        // The one state the generator cannot leave is all zeros.
        self.state3 = seed[3] | 1
    }

    @inlinable
    package mutating func next() -> UInt64 {
        let product: UInt64 = self.state1 &* 5
        let result: UInt64 = ((product << 7) | (product >> 57)) &* 9
        let shifted: UInt64 = self.state1 << 17
        self.state2 ^= self.state0
        self.state3 ^= self.state1
        self.state1 ^= self.state2
        self.state0 ^= self.state3
        self.state2 ^= shifted
        self.state3 = (self.state3 << 45) | (self.state3 >> 19)
        return result
    }

    private static func splitMix(_ state: inout UInt64) -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed: UInt64 = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
