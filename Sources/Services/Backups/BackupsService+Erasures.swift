import Backup
package import Contracts
import EventLoops

/// Keeps in the repository who was erased, so that `restore` can tell the platform.
extension BackupsService: ErasureLedger {
    package func keep(_ erasures: [KeptErasure]) async throws -> Bool {
        guard let place: Place = self.place, BackupRepository.isThere(place.folder) else { return false }
        // On a thread of its own: to open a repository takes 150 ms of CPU.
        let thread: EventLoop = EventLoop.start(name: "erasures")
        defer { thread.stop() }
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            thread.execute {
                continuation.resume(
                    with: Result {
                        let repository: BackupRepository = try BackupRepository.open(
                            place.folder, secret: try BackupSecret.read(file: place.keyFile))
                        for erasure in erasures { try repository.keep(erasure: erasure.id, erasure.line) }
                    })
            }
        }
        return true
    }
}
