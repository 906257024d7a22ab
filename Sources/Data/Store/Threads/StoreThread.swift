import CLinux
import Glibc

/// An operating-system thread that runs one closure. SQL and file syncs block, so they stay off the cooperative pool.
///
/// Safe to pass around: the only state is the thread's id, and `join` is called once, by the store's shutdown.
final class StoreThread: Sendable {
    private let id: pthread_t

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

    /// Waits for the thread's end. Blocks.
    func join() { pthread_join(self.id, nil) }

    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
}
