import EventLoops
import Glibc

/// Resolves through the C library, `/etc/hosts` and all: on a few threads of its own, because getaddrinfo blocks for as long
/// as it likes and cannot be called off. Threads start when needed and end after a while without work.
package final class SystemResolver: NameResolver, @unchecked Sendable {
    // Sendable by this rule: `waiting`, `threads` and `idle` are touched under `mutex` only.

    /// Names looked up at a time.
    package static let threadsMax: Int = 4
    /// Names that wait for a thread; the next one is refused.
    package static let waitingMax: Int = 256
    /// Addresses of one name that are tried.
    package static let addressesMax: Int = 16
    /// How long a thread without work stays.
    private static let restSeconds: Int = 10

    private struct Job {
        let host: String
        let port: UInt16
        let completion: @Sendable (Resolution) -> Void
    }

    private let mutex: UnsafeMutablePointer<pthread_mutex_t> = .allocate(capacity: 1)
    private let condition: UnsafeMutablePointer<pthread_cond_t> = .allocate(capacity: 1)
    private var waiting: [Job] = []
    private var threads: Int = 0
    private var idle: Int = 0

    package init() {
        pthread_mutex_init(self.mutex, nil)
        pthread_cond_init(self.condition, nil)
    }

    /// Threads hold the object, so none is left here.
    deinit {
        pthread_cond_destroy(self.condition)
        pthread_mutex_destroy(self.mutex)
        self.condition.deallocate()
        self.mutex.deallocate()
    }

    package func resolve(host: String, port: UInt16, completion: @escaping @Sendable (Resolution) -> Void) -> Bool {
        pthread_mutex_lock(self.mutex)
        guard self.waiting.count < SystemResolver.waitingMax else {
            pthread_mutex_unlock(self.mutex)
            return false
        }
        self.waiting.append(Job(host: host, port: port, completion: completion))
        let mustStart: Bool = self.idle < self.waiting.count && self.threads < SystemResolver.threadsMax
        if mustStart { self.threads += 1 }
        pthread_cond_signal(self.condition)
        pthread_mutex_unlock(self.mutex)
        if mustStart { self.startThread() }
        return true
    }

    private func startThread() {
        var thread: pthread_t = pthread_t()
        let context: Unmanaged<SystemResolver> = .passRetained(self)
        if pthread_create(&thread, nil, SystemResolver.threadEntry, context.toOpaque()) == 0 {
            pthread_detach(thread)
            return
        }
        context.release()
        self.threadFailed()
    }

    /// Without a single thread nothing would ever be resolved: what waits fails at once.
    private func threadFailed() {
        pthread_mutex_lock(self.mutex)
        self.threads -= 1
        let dropped: [Job] = self.threads == 0 ? self.waiting : []
        if self.threads == 0 { self.waiting = [] }
        pthread_mutex_unlock(self.mutex)
        for job in dropped { job.completion(.failed("no thread could be started")) }
    }

    private static let threadEntry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
        guard let context: UnsafeMutableRawPointer = context else { return nil }
        let resolver: SystemResolver = Unmanaged<SystemResolver>.fromOpaque(context).takeRetainedValue()
        while let job: Job = resolver.nextJob() {
            job.completion(SystemResolver.lookUp(job.host, job.port))
        }
        return nil
    }

    /// Waits for work; nil when none came for a while, and the thread counts as gone.
    private func nextJob() -> Job? {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        var until: timespec = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        until.tv_sec += SystemResolver.restSeconds
        while self.waiting.isEmpty {
            self.idle += 1
            let code: Int32 = pthread_cond_timedwait(self.condition, self.mutex, &until)
            self.idle -= 1
            if code != 0 && self.waiting.isEmpty {
                self.threads -= 1
                return nil
            }
        }
        return self.waiting.removeFirst()
    }

    /// Looks a name up on the calling thread, which blocks for as long as it takes.
    package static func lookUp(_ host: String, _ port: UInt16) -> Resolution {
        var hints: addrinfo = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code: Int32 = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else { return .failed(String(cString: gai_strerror(code))) }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var entry: UnsafeMutablePointer<addrinfo>? = list
        while let info: UnsafeMutablePointer<addrinfo> = entry, addresses.count < SystemResolver.addressesMax {
            entry = info.pointee.ai_next
            guard let raw: UnsafeMutablePointer<sockaddr> = info.pointee.ai_addr else { continue }
            let found: SocketAddress? = SocketAddress(kernelForm: raw, length: Int(info.pointee.ai_addrlen))
            if let address: SocketAddress = found?.with(port: port), !addresses.contains(address) {
                addresses.append(address)
            }
        }
        return addresses.isEmpty ? .failed("the name has no address of IPv4 or IPv6") : .addresses(addresses)
    }
}
