import Time

@testable import EventLog

/// The sequencer of a shared log, over a made-up PostgreSQL: transactions that overlap, take their numbers early or late, commit
/// or not; several processes that want the lease, stand still beyond it, die, and number what they saw too long ago.
final class SequencerSimulation {
    static let term: Int64 = 1000
    static let troubleTime: Int64 = 10_000
    static let calmTime: Int64 = 10_000

    /// A committed, unnumbered publication.
    struct Publication {
        let row: OutboxRow
        let slot: Int
        let key: Int
        /// Every publication has its own.
        let serial: Int
    }

    struct Numbered {
        let offset: Int64
        let key: Int
        let serial: Int
    }

    let schedule: Schedule = Schedule()
    var random: SeededRandom
    private var history: History = History()
    private var violation: Violation?
    private let slotCount: Int
    private let size: Int
    private var databaseSkew: Int64 = 0
    private var isCalm: Bool = false

    // The database.
    private var nextTransaction: Int64 = 1
    private var nextRow: Int64 = 1
    private var nextSerial: Int = 1
    private var running: Set<Int64> = []
    private var outbox: [Publication] = []
    private var log: [Int: [Numbered]] = [:]
    private var lease: LeaseRow?
    private var keyLocks: [Int: Int64] = [:]

    // What was promised.
    private var committed: Set<Int> = []
    /// By serial: publications of the same key that were durable before this one took its row.
    private var earlier: [Int: [Int]] = [:]
    private var durableOfKey: [Int: [Int]] = [:]
    private var seenEnd: [Int: Int64] = [:]
    /// By partition, the offset of each serial that was seen.
    private var places: [Int: [Int: Int64]] = [:]

    init(seed: UInt64, size: Int) {
        self.random = SeededRandom(seed: seed, stream: 2)
        self.size = size
        self.slotCount = 1 + self.random.below(3)
    }

    private var databaseNow: Int64 { self.schedule.now + self.databaseSkew }

    private func note(_ line: @autoclosure () -> String) { self.history.add(self.schedule.now, line()) }

    private func fail(_ what: String) {
        if self.violation == nil { self.violation = Violation(what: what, history: self.history.text) }
    }

    func run() -> Violation? {
        for _ in 0..<self.size { self.schedule.at(self.random.below(Self.troubleTime)) { self.beginTransaction() } }
        for number: Int in 0..<(2 + self.random.below(2)) {
            let process: SimulatedSequencer = SimulatedSequencer(self, name: "p\(number)")
            process.look()
        }
        for _ in 0..<(self.size / 8) {
            self.schedule.at(self.random.below(Self.troubleTime)) {
                self.databaseSkew += self.random.within(-60_000...60_000)
                self.note("the database's clock steps")
            }
        }
        while self.violation == nil, self.schedule.step(until: Self.troubleTime) {}
        self.isCalm = true
        while self.violation == nil, self.schedule.step(until: Self.troubleTime + Self.calmTime) {}
        self.checkAll()
        return self.violation
    }

    var hasTrouble: Bool { !self.isCalm }

    // MARK: - Publishers

    /// A transaction on one or more keys. It may take its number long before it publishes, and may hold others' back.
    private func beginTransaction() {
        let isForeign: Bool = self.random.oneIn(8)
        let takesNumberEarly: Bool = isForeign || self.random.oneIn(2)
        var number: Int64?
        if takesNumberEarly { number = self.takeNumber() }
        if isForeign, let number: Int64 {
            // Long, and nothing for the log.
            return self.schedule.after(self.random.within(10...2500)) {
                self.running.remove(number)
                self.note("foreign transaction \(number) ends")
            }
        }
        let key: Int = self.random.below(4)
        self.schedule.after(self.random.below(40)) { self.lockAndPublish(number, key) }
    }

    private func takeNumber() -> Int64 {
        let number: Int64 = self.nextTransaction
        self.nextTransaction += 1
        self.running.insert(number)
        return number
    }

    /// The row that the event is about is locked by whoever changes it, up to the end of the transaction.
    private func lockAndPublish(_ taken: Int64?, _ key: Int) {
        if self.keyLocks[key] != nil { return self.schedule.after(3) { self.lockAndPublish(taken, key) } }
        let number: Int64 = taken ?? self.takeNumber()
        self.keyLocks[key] = number
        self.schedule.after(self.random.below(20)) {
            var publications: [Publication] = []
            for _ in 0..<(1 + self.random.below(3)) {
                let row: OutboxRow = OutboxRow(id: self.nextRow, transaction: number, byteCount: 10)
                self.nextRow += 1
                publications.append(
                    Publication(row: row, slot: key % self.slotCount, key: key, serial: self.nextSerial))
                self.earlier[self.nextSerial] = self.durableOfKey[key] ?? []
                self.nextSerial += 1
            }
            self.schedule.after(self.random.below(15)) { self.end(number, key, publications) }
        }
    }

    private func end(_ number: Int64, _ key: Int, _ publications: [Publication]) {
        self.running.remove(number)
        self.keyLocks[key] = nil
        if self.random.oneIn(6) { return self.note("transaction \(number) rolls back") }
        for publication: Publication in publications {
            self.committed.insert(publication.serial)
            self.durableOfKey[key, default: []].append(publication.serial)
        }
        self.outbox += publications
        self.note("transaction \(number) commits key \(key): \(publications.map(\.serial))")
    }

    // MARK: - What sequencers do, each one transaction

    func acquire(_ name: String) -> Int64? {
        guard let row: LeaseRow = LeaseRules.acquire(self.lease, holder: name, now: self.databaseNow, term: Self.term)
        else { return nil }
        self.lease = row
        self.note("\(name) takes the lease, epoch \(row.epoch)")
        return row.epoch
    }

    func renew(_ epoch: Int64) -> Bool {
        guard let row: LeaseRow = LeaseRules.renew(self.lease, epoch: epoch, now: self.databaseNow, term: Self.term)
        else {
            return false
        }
        self.lease = row
        return true
    }

    /// What one snapshot shows: the lowest rows, and the oldest transaction that runs.
    func snapshot(_ limit: Int) -> (rows: [Publication], oldestRunning: Int64) {
        let rows: [Publication] = self.outbox.sorted { $0.row.id < $1.row.id }
        return (Array(rows.prefix(limit)), self.running.min() ?? self.nextTransaction)
    }

    /// The rows up to `last` whose transactions are below `oldestRunning`.
    func take(upTo last: Int64, below oldestRunning: Int64) -> [Publication] {
        self.outbox.filter { $0.row.id <= last && $0.row.transaction < oldestRunning }.sorted { $0.row.id < $1.row.id }
    }

    /// Numbers publications; false, with nothing done, when it is fenced.
    func number(_ publications: [Publication], epoch: Int64) -> Bool {
        guard let lease: LeaseRow = self.lease, lease.epoch == epoch, lease.holder != nil else {
            self.note("epoch \(epoch) is fenced")
            return false
        }
        let there: Set<Int> = Set(self.outbox.map(\.serial))
        for publication: Publication in publications {
            let slot: Int = publication.slot
            guard there.contains(publication.serial) else {
                self.fail("epoch \(epoch) numbers \(publication.serial) where it must not")
                return false
            }
            let offset: Int64 = Int64(self.log[slot]?.count ?? 0)
            self.log[slot, default: []].append(
                Numbered(offset: offset, key: publication.key, serial: publication.serial))
        }
        let numbered: Set<Int> = Set(publications.map(\.serial))
        self.outbox.removeAll { numbered.contains($0.serial) }
        self.note("epoch \(epoch) numbers \(publications.map(\.serial))")
        self.checkOrder()
        return true
    }

    // MARK: - What was promised

    /// What a reader sees only grows at its end, without a gap, and keeps the order of keys.
    private func checkOrder() {
        for (slot, records): (Int, [Numbered]) in self.log {
            let seen: Int64 = self.seenEnd[slot] ?? 0
            for (index, record): (Int, Numbered) in records.enumerated().dropFirst(Int(seen)) {
                if record.offset != Int64(index) { self.fail("partition \(slot): offset \(record.offset) at \(index)") }
                self.places[slot, default: [:]][record.serial] = record.offset
                for before: Int in self.earlier[record.serial] ?? [] where self.places[slot]?[before] == nil {
                    self.fail(
                        "key \(record.key): \(record.serial) was numbered before \(before), which was durable first")
                }
            }
            self.seenEnd[slot] = Int64(records.count)
        }
    }

    private func checkAll() {
        var places: [Int: Int64] = [:]
        for records: [Numbered] in self.log.values {
            for record: Numbered in records {
                if places.updateValue(record.offset, forKey: record.serial) != nil {
                    self.fail("\(record.serial) has two offsets")
                }
            }
        }
        if Set(places.keys) != self.committed {
            self.fail("numbered \(places.count) of \(self.committed.count) publications")
        }
        for (serial, place): (Int, Int64) in places {
            for before: Int in self.earlier[serial] ?? [] where (places[before] ?? Int64.max) > place {
                self.fail("\(serial) stands before \(before)")
            }
        }
    }
}

/// A process that wants to be the sequencer: what the lease's keeper and `Sequencer` do.
final class SimulatedSequencer {
    private let run: SequencerSimulation
    private let name: String
    private var epoch: Int64?

    init(_ run: SequencerSimulation, name: String) {
        self.run = run
        self.name = name
    }

    /// Milliseconds until its next step: now and then it stands still for longer than the lease.
    private var pause: Int64 {
        if self.run.hasTrouble, self.run.random.oneIn(60) { return self.run.random.within(500...4000) }
        return self.run.random.within(1...20)
    }

    func look() {
        self.run.schedule.after(self.pause + 50) {
            if self.epoch == nil { self.epoch = self.run.acquire(self.name) }
            if self.epoch == nil { return self.look() }
            self.renew()
            self.round()
        }
    }

    private func renew() {
        self.run.schedule.after(SequencerSimulation.term / 4 + self.pause) {
            guard let epoch: Int64 = self.epoch else { return }
            if self.run.renew(epoch) { return self.renew() }
            self.epoch = nil
        }
    }

    private func round() {
        guard let epoch: Int64 = self.epoch else { return self.look() }
        if self.run.hasTrouble, self.run.random.oneIn(80) {
            // It dies and comes back knowing nothing.
            self.epoch = nil
            return self.look()
        }
        let seen: (rows: [SequencerSimulation.Publication], oldestRunning: Int64) = self.run.snapshot(
            3 + self.run.random.below(20))
        let ripe: ArraySlice<OutboxRow> = SequencerRules.ripe(
            seen.rows.map(\.row), oldestRunning: seen.oldestRunning, bytesMax: 100)
        self.run.schedule.after(self.pause) {
            // Taken in a later snapshot, by the last id and the age, as the statement does.
            let publications: [SequencerSimulation.Publication] =
                ripe.last.map { self.run.take(upTo: $0.id, below: seen.oldestRunning) } ?? []
            if !publications.isEmpty, !self.run.number(publications, epoch: epoch) {
                self.epoch = nil
                return self.look()
            }
            self.run.schedule.after(self.pause) { self.round() }
        }
    }
}
