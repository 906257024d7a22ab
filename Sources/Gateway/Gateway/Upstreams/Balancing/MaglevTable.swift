/// Consistent hashing as in "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4.
///
/// Every target has its own order of the slots, made from its name; targets take slots in turn, in proportion to their weights,
/// until all are taken. A target that comes or goes moves little more than its own slots. Equal names and weights give equal
/// tables, so all loops and all gateways send a key to the same target.
struct MaglevTable: Sendable {
    /// Primes: a hundred slots for each of 50 targets, 256 for each of 256.
    static let smallSize: Int = 5003
    static let largeSize: Int = 65_537
    private static let smallTargetsMax: Int = 50

    /// Slots a key is moved on at most before all are looked at in order.
    private static let movesMax: Int = 16

    private let slots: [UInt16]

    /// Costs some steps for each slot: about a millisecond for the large one. Targets of weight 0 get no slot.
    init(names: [String], weights: [Int]) {
        let size: Int = names.count <= MaglevTable.smallTargetsMax ? MaglevTable.smallSize : MaglevTable.largeSize
        self.slots = MaglevTable.fill(names, weights, size)
    }

    private static func fill(_ names: [String], _ weights: [Int], _ size: Int) -> [UInt16] {
        let heaviest: Int = weights.max() ?? 0
        guard heaviest > 0 else { return [] }
        var next: [Int] = []
        var skips: [Int] = []
        for name in names {
            next.append(Int(StableHash.hash(name, 1) % UInt64(size)))
            skips.append(Int(StableHash.hash(name, 2) % UInt64(size - 1)) + 1)
        }
        let empty: UInt16 = .max
        var slots: [UInt16] = [UInt16](repeating: empty, count: size)
        var turns: [Int] = [Int](repeating: 0, count: names.count)
        var filled: Int = 0
        while true {
            for index in names.indices {
                // The heaviest takes a slot every round, one of half its weight every second.
                turns[index] += weights[index]
                if turns[index] < heaviest { continue }
                turns[index] -= heaviest
                while slots[next[index]] != empty { next[index] = (next[index] + skips[index]) % size }
                slots[next[index]] = UInt16(truncatingIfNeeded: index)
                filled += 1
                if filled == size { return slots }
            }
        }
    }

    /// Where a key goes: its slot's target, or, where that one cannot be chosen, the one of another slot that the key alone
    /// decides. So keys of a target that is out are spread, and all others stay.
    func pick(_ key: UInt64, _ candidates: borrowing Candidates) -> Int? {
        if self.slots.isEmpty { return nil }
        var hash: UInt64 = key
        for _ in 0..<MaglevTable.movesMax {
            let index: Int = Int(self.slots[Int(hash % UInt64(self.slots.count))])
            if candidates.weight(index) > 0 { return index }
            hash = StableHash.mix(hash)
        }
        let start: Int = Int(hash % UInt64(self.slots.count))
        for offset in self.slots.indices {
            let index: Int = Int(self.slots[(start + offset) % self.slots.count])
            if candidates.weight(index) > 0 { return index }
        }
        return nil
    }

    /// Each slot's target; for tests.
    var assignment: [Int] { self.slots.map { Int($0) } }
}

/// A hash that is the same in every process and every version: gateways that share the work agree on it.
enum StableHash {
    private static let bytes: ByteHash = ByteHash(seed: 0x7061_7373_6572_656c)

    /// Hashes bytes; never 0, which means "no key".
    static func hash(_ text: UnsafeRawBufferPointer) -> UInt64 {
        guard let base: UnsafeRawPointer = text.baseAddress else { return 1 }
        return self.bytes.hash(base, count: text.count)
    }

    static func hash(_ text: String, _ number: UInt64) -> UInt64 {
        var text: String = text
        return text.withUTF8 { (buffer: UnsafeBufferPointer<UInt8>) -> UInt64 in
            guard let base: UnsafePointer<UInt8> = buffer.baseAddress else { return 1 }
            return self.bytes.hash(UnsafeRawPointer(base), count: buffer.count, with: number)
        }
    }

    /// Another number that the first one alone decides (SplitMix64's last steps).
    static func mix(_ number: UInt64) -> UInt64 {
        var value: UInt64 = number &+ 0x9e37_79b9_7f4a_7c15
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
