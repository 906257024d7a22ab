import EventLog
import Store
import Synchronization

/// Concurrent callers that write one entry after the other and report each acknowledgement.
final class Load: Sendable {
    /// Every so many transactions one throws after all its changes.
    private static let refuseEvery: Int64 = 7
    /// Every so many acknowledged ones are read back at once.
    private static let readEvery: Int64 = 11

    private let ledger: Ledger
    private let stopAfter: Int?
    private let acknowledged: Atomic<Int> = Atomic(0)

    init(_ ledger: Ledger, stopAfter: Int?) {
        self.ledger = ledger
        self.stopAfter = stopAfter
    }

    func run(callers: Int) async throws {
        Line.write("ready")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<callers { group.addTask { try await self.call(Int64(caller)) } }
            try await group.waitForAll()
        }
    }

    private var isDone: Bool {
        self.stopAfter.map { self.acknowledged.load(ordering: .relaxed) >= $0 } ?? false
    }

    /// One caller: numbers 1, 2, 3 … each written until it is acknowledged.
    @concurrent
    private func call(_ caller: Int64) async throws {
        var seq: Int64 = try await self.ledger.last(caller) + 1
        while !self.isDone {
            if seq % Self.refuseEvery == 0 { await self.writeRefused(caller, seq) }
            guard await self.write(Entry(caller: caller, seq: seq)) else {
                try await Task.sleep(for: .milliseconds(10))
                continue
            }
            self.acknowledged.add(1, ordering: .relaxed)
            if seq % Self.readEvery == 0, try await self.ledger.last(caller) != seq {
                Line.write("wrong acknowledged \(caller) \(seq) and not readable")
            }
            seq += 1
        }
    }

    private func write(_ entry: Entry) async -> Bool {
        do {
            try await self.ledger.write(entry, refuse: false)
            Line.write("ack \(entry.caller) \(entry.seq) \(entry.token)")
            return true
        } catch StoreError.unavailable(let reason) {
            Line.write("refused \(entry.caller) \(entry.seq) \(reason)")
        } catch {
            Line.write("wrong \(entry.caller) \(entry.seq) failed with \(error)")
        }
        return false
    }

    private func writeRefused(_ caller: Int64, _ seq: Int64) async {
        do {
            try await self.ledger.write(Entry(caller: caller, seq: seq), refuse: true)
            Line.write("wrong \(caller) \(seq) was to be refused")
        } catch is Ledger.Refused {
        } catch StoreError.unavailable {
        } catch {
            Line.write("wrong \(caller) \(seq) to be refused failed with \(error)")
        }
    }
}
