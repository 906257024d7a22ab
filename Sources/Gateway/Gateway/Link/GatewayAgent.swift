import EventLoops
import Files
import GatewayConfiguration
import JSON
import Synchronization
package import Telemetry
package import Time

/// Keeps a gateway at its control plane's snapshot: pulls, compiles off the loops, swaps; and beside that, so that the next change
/// need not wait for it, keeps it on disk and acknowledges.
///
/// Without its control plane it serves the last good snapshot from disk and calls again with growing pauses. What it has
/// acknowledged to a control plane of another process is on its disk before: it comes back after any restart. With the control
/// plane in its own process nothing would be gained, as the two start together.
package actor GatewayAgent {
    /// How long one pull waits: shorter than what makes a gateway away.
    package static let pullWait: Duration = .seconds(8)
    /// First and longest pause after a failed call.
    package static let pauseMin: Duration = .milliseconds(100)
    package static let pauseMax: Duration = .seconds(2)
    /// The whole snapshot is saved at most this often while it changes; the changes since are kept beside it.
    package static let saveEvery: Duration = .seconds(1)
    /// Saving rests so many times as long as it took, and so takes one part in a hundred of a processor at most, however large the
    /// snapshot; but no longer than `saveRestMax`.
    static let saveRestFactor: UInt64 = 100
    static let saveRestMax: Duration = .seconds(60)
    /// Largest saved snapshot that is read.
    package static let savedBytesMax: Int = 1 << 30
    /// After how long it is tried again to keep what the disk did not take.
    static let keepAgainAfter: Duration = .seconds(1)

    /// Whether there is a snapshot to serve: from disk, or from the control plane, be it an empty one. Before that every request
    /// is answered with 404, so the gateway is not ready.
    package nonisolated var hasSnapshot: Bool { self.fed.flag.load(ordering: .acquiring) }

    private final class Fed: Sendable {
        let flag: Atomic<Bool> = Atomic(false)
    }

    private nonisolated let fed: Fed = Fed()
    private let link: any GatewayLink
    private let files: SnapshotFiles
    /// What secrets are sealed to.
    private let key: GatewayKey
    /// Something that is on the disk cannot be read here: what the control plane has is asked for as a whole.
    private var mustPullWhole: Bool = false
    private let live: LiveState
    private let clock: any WallClock
    private let logger: Logger
    private var engine: GatewayEngine?
    private var document: HashedDocument = HashedDocument()
    private var snapshot: Snapshot
    private var quarantined: [LinkAcknowledgement.Quarantined] = []
    private var savedVersion: Int64 = -1
    private var isSaving: Bool = false
    /// When the whole snapshot is saved next at the earliest, in the clock's monotonic time.
    private var nextSave: UInt64 = 0
    /// What was received and is not on the disk yet, in order; nothing while only the whole snapshot will do.
    private var unkept: [[UInt8]] = []
    /// Changes could not be kept: only the whole snapshot will do.
    private var mustSaveWhole: Bool = false
    /// What is to be acknowledged when it is on the disk; nil: nothing.
    private var word: LinkAcknowledgement?
    /// The last of what is to be acknowledged that is on the disk.
    private var kept: LinkAcknowledgement?
    private var confirmer: CheckedContinuation<Void, Never>?
    private var isEnding: Bool = false
    private let stages: SnapshotStages?

    /// - Parameters:
    ///   - folder: where the last good snapshot is kept; made when missing.
    ///   - folderKey: what the private key there is sealed with; nil: it lies there in clear.
    ///   - metrics: where it is told how long each stage of a change takes; nil: nowhere.
    package init(
        link: any GatewayLink, folder: String, folderKey: FolderKey? = nil, live: LiveState, clock: any WallClock,
        logger: Logger, metrics: MetricRegistry? = nil
    ) throws {
        self.stages = metrics.map { SnapshotStages($0) }
        let key: GatewayKey = try GatewayKey(folder: folder, folderKey: folderKey)
        self.key = key
        self.files = try SnapshotFiles(folder: folder, key: key)
        self.link = link
        self.live = live
        self.clock = clock
        self.logger = logger
        self.snapshot = Snapshot.empty(live)
    }

    /// Reads the snapshot that was saved last. - Returns: what the engine starts with: that, or an empty one.
    package func load() -> Snapshot {
        do {
            guard let saved: HashedDocument = try self.files.load() else { return self.snapshot }
            self.compile(saved)
            self.mustPullWhole = !saved.unreadable.isEmpty
            self.fed.flag.store(true, ordering: .releasing)
        } catch {
            self.logger.log(
                .warning, "the saved snapshot is not usable; waiting for the control plane",
                ["error": .string("\(error)")])
        }
        return self.snapshot
    }

    /// The version the gateway runs.
    package var version: Int64 { self.document.version }

    /// Follows the control plane until cancelled.
    package func run(engine: GatewayEngine?) async {
        self.engine = engine
        self.isEnding = false
        if self.document.version > 0 { self.word = self.acknowledgement }
        let confirming: Task<Void, Never> = Task { await self.confirm() }
        await self.follow()
        self.isEnding = true
        confirming.cancel()
        self.wakeConfirmer()
        await confirming.value
    }

    private func follow() async {
        var pause: Duration = Self.pauseMin
        var isAway: Bool = false
        while !Task.isCancelled {
            do {
                // That there is nothing to serve is news, too, the first time.
                try await self.pull(wait: self.hasSnapshot ? Self.pullWait : .zero)
                if isAway {
                    self.logger.log(.info, "the control plane answers again", ["version": .int(self.document.version)])
                }
                isAway = false
                pause = Self.pauseMin
            } catch is CancellationError {
                break
            } catch {
                if !isAway {
                    self.logger.log(
                        .warning, "the control plane does not answer; serving what is here",
                        ["version": .int(self.document.version), "error": .string("\(error)")])
                }
                isAway = true
                try? await self.clock.sleep(for: pause)
                pause = min(pause * 2, Self.pauseMax)
            }
        }
    }

    /// Saves what runs, now and then, until cancelled; and once more then.
    package func keepSaved() async {
        while (try? await self.clock.sleep(for: Self.saveEvery)) != nil {
            if self.clock.monotonic() >= self.nextSave { await self.save() }
        }
        await self.save()
    }

    /// Takes over what is new, and serves it.
    private func pull(wait: Duration) async throws {
        let pull: LinkPull = try await self.link.pull(
            since: self.mustPullWhole ? 0 : self.document.version,
            hash: self.mustPullWhole ? "" : self.document.hash, wait: wait)
        var stage: UInt64 = self.clock.monotonic()
        self.mustPullWhole = false
        self.live.limitShare = pull.liveGateways
        var received: [UInt8]?
        switch pull.answer {
        case .unchanged:
            self.fed.flag.store(true, ordering: .releasing)
            return
        case .document(let document): self.compile(document)
        case .bytes(let bytes):
            var next: HashedDocument = self.document
            do {
                try next.receive(bytes, opener: self.key)
            } catch {
                // What came does not fit what is here.
                self.logger.log(.warning, "asking for the whole snapshot", ["error": .string("\(error)")])
                self.mustPullWhole = true
                return
            }
            self.tell(.read, &stage)
            self.compile(next)
            received = bytes
        }
        self.tell(.compile, &stage)
        await self.engine?.apply(self.snapshot)
        self.tell(.swap, &stage)
        self.fed.flag.store(true, ordering: .releasing)
        if let received: [UInt8], !self.mustSaveWhole { self.unkept.append(received) }
        self.word = self.acknowledgement
        self.wakeConfirmer()
    }

    private func tell(_ stage: SnapshotStages.Stage, _ since: inout UInt64) {
        let now: UInt64 = self.clock.monotonic()
        self.stages?.tell(stage, nanoseconds: now - since)
        since = now
    }

    private func compile(_ document: HashedDocument) {
        let compiled: (snapshot: Snapshot, quarantined: [Quarantine]) = Snapshot.compile(
            document.document, unreadable: document.unreadable, version: document.version, hash: document.hash,
            previous: self.snapshot, carrying: self.live)
        self.document = document
        self.snapshot = compiled.snapshot
        self.quarantined = []
        for quarantine in compiled.quarantined {
            let reason: String = quarantine.problems.joined(separator: "; ")
            self.quarantined.append(LinkAcknowledgement.Quarantined(entry: quarantine.key.text, reason: reason))
            self.logger.log(
                .warning, "quarantined", ["entry": .string(quarantine.key.text), "reason": .string(reason)])
        }
    }

    private var acknowledgement: LinkAcknowledgement {
        LinkAcknowledgement(version: self.document.version, hash: self.document.hash, quarantined: self.quarantined)
    }

    // MARK: Keeping and acknowledging

    /// Keeps what is taken over, and says so; several changes that came meanwhile at once. Until the agent ends.
    private func confirm() async {
        var pause: Duration = Self.pauseMin
        while !self.isEnding {
            guard self.word != nil else {
                await withCheckedContinuation { self.confirmer = $0 }
                continue
            }
            var stage: UInt64 = self.clock.monotonic()
            guard await self.keep(), let word: LinkAcknowledgement = self.kept else {
                // A disk that fails keeps nothing from being served: only the word that it will last is not given.
                try? await self.clock.sleep(for: Self.keepAgainAfter)
                continue
            }
            self.tell(.keep, &stage)
            do {
                try await self.link.acknowledge(word)
                self.tell(.acknowledge, &stage)
                if self.word == word { self.word = nil }
                pause = Self.pauseMin
            } catch {
                // That the control plane does not answer, the next pull tells.
                try? await self.clock.sleep(for: pause)
                pause = min(pause * 2, Self.pauseMax)
            }
        }
    }

    private func wakeConfirmer() {
        self.confirmer?.resume()
        self.confirmer = nil
    }

    /// Keeps on the disk what was received up to now. - Returns: whether it is there; `kept` is then what it amounts to.
    private func keep() async -> Bool {
        if self.mustSaveWhole {
            guard await self.save(), !self.mustSaveWhole else { return false }
            self.kept = self.word
            return true
        }
        let (records, word): ([[UInt8]], LinkAcknowledgement?) = (self.unkept, self.word)
        self.unkept = []
        do throws(FileError) {
            if !records.isEmpty { try await self.files.append(records) }
            self.kept = word
            return true
        } catch {
            self.mustSaveWhole = true
            self.unkept = []
            self.logger.log(
                .warning, "the snapshot could not be kept, so it is not acknowledged",
                ["version": .int(self.document.version), "error": .string("\(error)")])
            return false
        }
    }

    /// - Returns: whether what ran when it was called is on the disk as a whole.
    @discardableResult
    private func save() async -> Bool {
        // An older document must not take the place of a newer one.
        if self.isSaving { return false }
        let document: HashedDocument = self.document
        guard document.version != self.savedVersion else {
            self.mustSaveWhole = false
            return true
        }
        self.isSaving = true
        defer { self.isSaving = false }
        let began: UInt64 = self.clock.monotonic()
        do throws(FileError) {
            try await self.files.save(document)
            self.savedVersion = document.version
        } catch {
            self.logger.log(.warning, "the snapshot could not be saved", ["error": .string("\(error)")])
            return false
        }
        let now: UInt64 = self.clock.monotonic()
        self.stages?.tell(.save, nanoseconds: now - began)
        let rest: UInt64 = (now - began) &* Self.saveRestFactor
        self.nextSave = now + min(rest, UInt64(clamping: Self.saveRestMax.nanosecondsClamped))
        if document.version == self.document.version { self.mustSaveWhole = false }
        return true
    }
}
