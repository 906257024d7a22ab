import EventLoops
import Files
import GatewayConfiguration
import JSON
import Synchronization
package import Telemetry
package import Time

/// Keeps a gateway at its control plane's snapshot: pulls, compiles off the loops, swaps, keeps it on disk, acknowledges.
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
    /// The whole snapshot is saved this often while it changes; the changes since are kept beside it.
    package static let saveEvery: Duration = .seconds(1)
    /// Largest saved snapshot that is read.
    package static let savedBytesMax: Int = 1 << 30
    /// How long a pull waits while something is not on the disk yet, which is then tried again.
    static let pullWaitUnsaved: Duration = .seconds(1)

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
    /// What was received and is not on the disk yet, in order.
    private var unsaved: [[UInt8]] = []
    /// Changes could not be kept: only the whole snapshot will do.
    private var mustSaveWhole: Bool = false

    /// - Parameter folder: where the last good snapshot is kept; made when missing.
    package init(
        link: any GatewayLink, folder: String, live: LiveState, clock: any WallClock, logger: Logger
    ) throws {
        let key: GatewayKey = try GatewayKey(folder: folder)
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
        var pause: Duration = Self.pauseMin
        var isAway: Bool = false
        var mustAcknowledge: Bool = self.document.version > 0
        while !Task.isCancelled {
            do {
                if mustAcknowledge, await self.keepUnsaved() {
                    try await self.acknowledge()
                    mustAcknowledge = false
                }
                // A disk that fails keeps nothing from being served: only the word that it will last is not given.
                var wait: Duration = mustAcknowledge ? Self.pullWaitUnsaved : Self.pullWait
                // That there is nothing to serve is news, too, the first time.
                if !self.hasSnapshot { wait = .zero }
                let isNew: Bool = try await self.pull(wait: wait)
                mustAcknowledge = isNew || mustAcknowledge
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
        while (try? await self.clock.sleep(for: Self.saveEvery)) != nil { await self.save() }
        await self.save()
    }

    /// - Returns: whether there is something new to acknowledge.
    private func pull(wait: Duration) async throws -> Bool {
        let pull: LinkPull = try await self.link.pull(
            since: self.mustPullWhole ? 0 : self.document.version,
            hash: self.mustPullWhole ? "" : self.document.hash, wait: wait)
        self.mustPullWhole = false
        self.live.limitShare = pull.liveGateways
        switch pull.answer {
        case .unchanged:
            self.fed.flag.store(true, ordering: .releasing)
            return false
        case .document(let document): self.compile(document)
        case .bytes(let bytes):
            var next: HashedDocument = self.document
            do {
                try next.receive(bytes, opener: self.key)
            } catch {
                // What came does not fit what is here: from nothing, the whole document is sent.
                self.logger.log(.warning, "asking for the whole snapshot", ["error": .string("\(error)")])
                self.document = HashedDocument()
                return false
            }
            self.compile(next)
            self.unsaved.append(bytes)
        }
        await self.engine?.apply(self.snapshot)
        self.fed.flag.store(true, ordering: .releasing)
        return true
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

    private func acknowledge() async throws {
        try await self.link.acknowledge(
            LinkAcknowledgement(
                version: self.document.version, hash: self.document.hash, quarantined: self.quarantined))
    }

    /// Keeps on the disk what was received. - Returns: whether everything is there.
    private func keepUnsaved() async -> Bool {
        if self.mustSaveWhole { return await self.save() }
        while let next: [UInt8] = self.unsaved.first {
            do throws(FileError) {
                try await self.files.append(next)
                self.unsaved.removeFirst()
            } catch {
                self.mustSaveWhole = true
                self.unsaved.removeAll()
                self.logger.log(
                    .warning, "the snapshot could not be kept, so it is not acknowledged",
                    ["version": .int(self.document.version), "error": .string("\(error)")])
                return false
            }
        }
        return true
    }

    /// - Returns: whether what runs is on the disk as a whole.
    @discardableResult
    private func save() async -> Bool {
        let document: HashedDocument = self.document
        guard document.version != self.savedVersion else {
            self.mustSaveWhole = false
            return true
        }
        do throws(FileError) {
            try await self.files.save(document)
            self.savedVersion = document.version
        } catch {
            self.logger.log(.warning, "the snapshot could not be saved", ["error": .string("\(error)")])
            return false
        }
        if document.version == self.document.version { self.mustSaveWhole = false }
        return !self.mustSaveWhole
    }
}
