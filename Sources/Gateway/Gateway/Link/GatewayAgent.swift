import EventLoops
package import Files
import GatewayConfiguration
import JSON
package import Telemetry
package import Time

/// Keeps a gateway at its control plane's snapshot: pulls, compiles off the loops, swaps, acknowledges, saves.
///
/// Without its control plane it serves the last good snapshot from disk and calls again with growing pauses.
package actor GatewayAgent {
    /// How long one pull waits: shorter than what makes a gateway away.
    package static let pullWait: Duration = .seconds(8)
    /// First and longest pause after a failed call.
    package static let pauseMin: Duration = .milliseconds(100)
    package static let pauseMax: Duration = .seconds(2)
    /// The saved snapshot is at most this far behind the running one.
    package static let saveEvery: Duration = .seconds(1)
    /// Largest saved snapshot that is read.
    package static let savedBytesMax: Int = 1 << 30

    private let link: any GatewayLink
    private let path: String
    private let live: LiveState
    private let clock: any WallClock
    private let logger: Logger
    private var engine: GatewayEngine?
    private var document: HashedDocument = HashedDocument()
    private var snapshot: Snapshot
    private var quarantined: [LinkAcknowledgement.Quarantined] = []
    private var savedVersion: Int64 = -1

    /// - Parameter folder: where the last good snapshot is kept; made when missing.
    package init(
        link: any GatewayLink, folder: String, live: LiveState, clock: any WallClock, logger: Logger
    ) throws(FileError) {
        try Files.makeFolder(folder)
        self.link = link
        self.path = "\(folder)/snapshot.json"
        self.live = live
        self.clock = clock
        self.logger = logger
        self.snapshot = Snapshot.empty(live)
    }

    /// Reads the snapshot that was saved last. - Returns: what the engine starts with: that, or an empty one.
    package func load() -> Snapshot {
        guard Files.exists(self.path) else { return self.snapshot }
        do {
            var saved: HashedDocument = HashedDocument()
            try saved.receive(try Files.read(self.path, bytesMax: Self.savedBytesMax))
            self.compile(saved)
            self.savedVersion = saved.version
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
    package func run(engine: GatewayEngine) async {
        self.engine = engine
        var pause: Duration = Self.pauseMin
        var isAway: Bool = false
        var mustAcknowledge: Bool = self.document.version > 0
        while !Task.isCancelled {
            do {
                if mustAcknowledge {
                    try await self.acknowledge()
                    mustAcknowledge = false
                }
                mustAcknowledge = try await self.pull()
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
        let writer: EventLoop = EventLoop.start(name: "snapshot")
        while (try? await self.clock.sleep(for: Self.saveEvery)) != nil { await self.save(on: writer) }
        await self.save(on: writer)
        writer.stop()
    }

    /// - Returns: whether there is something new to acknowledge.
    private func pull() async throws -> Bool {
        let answer: LinkAnswer = try await self.link.pull(
            since: self.document.version, hash: self.document.hash, wait: Self.pullWait)
        switch answer {
        case .unchanged: return false
        case .document(let document): self.compile(document)
        case .bytes(let bytes):
            var next: HashedDocument = self.document
            do {
                try next.receive(bytes)
            } catch {
                // What came does not fit what is here: from nothing, the whole document is sent.
                self.logger.log(.warning, "asking for the whole snapshot", ["error": .string("\(error)")])
                self.document = HashedDocument()
                return false
            }
            self.compile(next)
        }
        await self.engine?.apply(self.snapshot)
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

    /// Writing takes its time and syncs: a thread of its own does it, while the next snapshot is taken.
    private func save(on writer: EventLoop) async {
        let document: HashedDocument = self.document
        guard document.version != self.savedVersion else { return }
        let path: String = self.path
        let failure: FileError? = await withCheckedContinuation { continuation in
            writer.execute {
                do throws(FileError) {
                    try Files.replace(path, with: document.json().serialized())
                    continuation.resume(returning: nil)
                } catch {
                    continuation.resume(returning: error)
                }
            }
        }
        if let failure: FileError {
            self.logger.log(.warning, "the snapshot could not be saved", ["error": .string("\(failure)")])
        } else {
            self.savedVersion = document.version
        }
    }
}
