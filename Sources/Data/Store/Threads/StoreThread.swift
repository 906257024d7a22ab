import CLinux
import Glibc
import Synchronization

/// An operating-system thread that runs one closure. SQL and file syncs block, so they stay off the cooperative pool.
///
/// A thread that nobody joins gives its stack back by itself when it ends.
final class StoreThread: Sendable {
    private let id: pthread_t
    private let isJoined: Atomic<Bool> = Atomic(false)

    /// Starts a thread; `name` shows in `top -H` (15 bytes at most).
    init(name: String, _ body: @escaping @Sendable () -> Void) throws(StoreError) {
        let start: Unmanaged<Start> = Unmanaged.passRetained(Start(name: name, body: body))
        var id: pthread_t = pthread_t()
        let result: Int32 = pthread_create(
            &id, nil,
            { context in
                guard let context else { return nil }
                let start: Start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
                clinux_set_thread_name(start.name)
                start.body()
                return nil
            }, start.toOpaque())
        guard result == 0 else {
            start.release()
            throw .unavailable(reason: "cannot start a thread: \(SQLiteResult.name(result))")
        }
        self.id = id
    }

    deinit {
        if !self.isJoined.load(ordering: .acquiring) { pthread_detach(self.id) }
    }

    /// Waits for the thread's end. Blocks; only the first call waits.
    func join() {
        if !self.isJoined.exchange(true, ordering: .acquiringAndReleasing) { pthread_join(self.id, nil) }
    }

    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
}
