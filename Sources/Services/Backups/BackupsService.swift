import Backup
import Contracts
import EventLog
import EventLoops
import Identifiers
import JSON
package import REST
import Store
import Synchronization
import Telemetry
import Time

/// Backs up the running platform, when an administrator asks for it, to where the settings say.
///
/// A request carries no path and no passphrase: those are the machine's, not the caller's. One backup at a time.
package final class BackupsService: PlatformService {
    package static let name: String = "backups"

    /// Where backups go, and what they are encrypted with.
    package struct Place: Sendable {
        /// The repository's folder.
        package let folder: String
        /// The file that holds its passphrase or key.
        package let keyFile: String

        package init(folder: String, keyFile: String) {
            self.folder = folder
            self.keyFile = keyFile
        }
    }

    struct Stopped: Error, CustomStringConvertible {
        let description: String = "the platform was stopped before the backup was done"
    }

    private struct State {
        var task: Task<Void, Never>?
        var lastSuccess: Double = 0
    }

    let services: ServiceEnvironment
    let place: Place?
    private let data: String
    private let version: String
    private let state: Mutex<State> = Mutex(State())
    private let isStopping: Atomic<Bool> = Atomic(false)
    private let failures: Counter

    /// - Parameters:
    ///   - data: the data folder, whose stores are open in this process.
    ///   - place: nil when none is configured; then requests are refused and say what to configure.
    package init(services: ServiceEnvironment, data: String, place: Place?, version: String) {
        self.services = services
        self.data = data
        self.place = place
        self.version = version
        self.failures = services.metrics.counter(
            "passerelle_backups_failed_total", help: "Backups that were begun and not made.")
        services.metrics.gauge(
            "passerelle_backup_last_success_timestamp_seconds",
            help: "When the last backup ended well; 0 before the first."
        ) { [weak self] in self?.state.withLock { $0.lastSuccess } ?? 0 }
    }

    package var routes: [Route] { self.backupRoutes }

    /// What a killed process left running has failed.
    package func start() async throws {
        let author: Author = Author(caller: .platform(Self.name), trace: TraceContext.make())
        let last: Int64? = try await self.services.store.write { transaction in
            for run in try BackupTable.running(in: transaction) {
                try Self.finish(
                    run, .failed, ["reason": "the platform ended before the backup was done"], author, in: transaction)
            }
            return try BackupTable.lastSuccess(in: transaction)
        }
        self.state.withLock { $0.lastSuccess = Double(last ?? 0) / 1_000 }
    }

    package func stop() async {
        self.isStopping.store(true, ordering: .releasing)
        await self.state.withLock { $0.task }?.value
    }

    // MARK: Making one

    /// Begins the backup of a run whose row is written. - Returns: false when another one is being made.
    func begin(_ run: BackupRun, _ author: Author) -> Bool {
        guard let place: Place = self.place else { return false }
        return self.state.withLock { state in
            if state.task != nil { return false }
            state.task = Task { [self] in
                await self.carryOut(run, place, author)
                self.state.withLock { $0.task = nil }
            }
            return true
        }
    }

    var isRunning: Bool { self.state.withLock { $0.task != nil } }

    private func carryOut(_ run: BackupRun, _ place: Place, _ author: Author) async {
        let outcome: Result<BackupDescription, any Error> = await self.work(run, place)
        do {
            try await self.services.store.write { transaction in
                switch outcome {
                case .success(let made):
                    try Self.finish(run, .done, made.json.object ?? [:], author, in: transaction)
                case .failure(let error):
                    try Self.finish(run, .failed, ["reason": .string("\(error)")], author, in: transaction)
                }
            }
        } catch {
            self.services.logger.log(.error, "how a backup ended could not be noted", ["error": .string("\(error)")])
        }
        switch outcome {
        case .success(let made):
            self.state.withLock { $0.lastSuccess = Double(self.services.clock.now().milliseconds) / 1_000 }
            self.services.logger.log(
                .info, "backup made",
                ["id": .string(made.id), "bytes": .int(made.bytes), "bytes_added": .int(made.bytesAdded)])
        case .failure(let error):
            self.failures.add()
            self.services.logger.log(.error, "backup failed", ["error": .string("\(error)")])
        }
    }

    /// On a thread of its own: it reads, hashes and writes for as long as it takes.
    private func work(_ run: BackupRun, _ place: Place) async -> Result<BackupDescription, any Error> {
        let thread: EventLoop = EventLoop.start(name: "backup")
        defer { thread.stop() }
        return await withCheckedContinuation { continuation in
            thread.execute { [self] in
                continuation.resume(
                    returning: Result {
                        let repository: BackupRepository = try BackupRepository.openOrMake(
                            place.folder, secret: try BackupSecret.read(file: place.keyFile))
                        return try FolderBackup.run(
                            self.data, isRunning: true, to: repository, version: self.version, now: run.startedAt,
                            isFull: run.isFull
                        ) { _, _ in if self.isStopping.load(ordering: .acquiring) { throw Stopped() } }
                    })
            }
        }
    }

    private static func finish(
        _ run: BackupRun, _ state: BackupRun.State, _ result: JSONObject, _ author: Author, in transaction: Transaction
    ) throws {
        var run: BackupRun = run
        run.state = state
        run.result = .object(result)
        run.finishedAt = transaction.now
        run.version += 1
        try BackupTable.finish(run, in: transaction)
        try Self.audit("backup.\(state.rawValue)", run, author, in: transaction)
    }

    static func audit(_ event: String, _ run: BackupRun, _ author: Author, in transaction: Transaction) throws {
        try author.audit(
            event, tenant: "", resource: AuditEntry.Resource(type: "backup", id: run.id, version: run.version),
            changes: run.json.object ?? [:], in: transaction)
    }
}
