import DNS
import EventLoops
import GatewayConfiguration
import Glibc
import HTTP
import Synchronization

/// The addresses of all target hosts of the process. Names are looked up on threads of their own, never on a loop: once before a
/// snapshot that names them goes live, and again when what was found has grown old.
final class AddressBook: Sendable {
    private struct Key: Hashable {
        let host: String
        let port: UInt16
        let service: String?
    }

    private struct Entry {
        let address: TargetAddress
        /// How often the newest snapshot names it.
        var names: Int = 0
        /// Monotonic nanoseconds when someone last asked for it.
        var wantedAt: UInt64
    }

    /// What one look-up found.
    private enum Finding {
        case places([TargetPlace], seconds: UInt64)
        case nothing(seconds: UInt64)
        case failed
    }

    /// Names looked up at a time.
    private static let threadsMax: Int = 4
    /// How long answers of the system are kept, which says nothing of it; and how soon a failed look-up is tried again.
    private static let systemSeconds: UInt64 = 10
    private static let failedSeconds: UInt64 = 5
    /// SRV records that are followed of one name, and how long.
    private static let servicesMax: Int = 64
    private static let serviceSeconds: UInt64 = 20
    /// How long a name is kept that no snapshot names any more: exchanges of older ones may still ask for it.
    private static let unnamedSeconds: UInt64 = 600
    private static let nanosecondsPerSecond: UInt64 = 1_000_000_000

    /// Nil: the system is asked.
    private let client: DNSClient?
    private let serviceClient: DNSClient
    /// Judges every address before anything is connected to it, so that a name gains nothing by what it says next.
    private let egress: @Sendable (SocketAddress) -> EgressVerdict
    private let keepMin: UInt64
    private let keepMax: UInt64
    private let known: Mutex<[Key: Entry]> = Mutex([:])
    let lookups: Atomic<UInt64> = Atomic(0)
    let failures: Atomic<UInt64> = Atomic(0)

    init(
        _ settings: DNSSettings = DNSSettings(),
        egress: @escaping @Sendable (SocketAddress) -> EgressVerdict = { _ in .allow }
    ) {
        self.egress = egress
        let servers: [SocketAddress] = settings.servers.compactMap { SocketAddress($0) }
        let client: DNSClient = DNSClient(
            servers: servers, timeoutSeconds: settings.timeoutSeconds, attempts: settings.attempts)
        self.client = servers.isEmpty ? nil : client
        self.serviceClient = client
        self.keepMin = settings.keepMin.nanoseconds
        self.keepMax = settings.keepMax.nanoseconds
    }

    /// The entry of a target; the same object for the same host, port and service.
    func address(_ target: TargetDefinitionPlace) -> TargetAddress {
        let key: Key = Self.key(target)
        let now: UInt64 = MonotonicTime.now
        return self.known.withLock { (known: inout [Key: Entry]) -> TargetAddress in
            if let entry: Entry = known[key] {
                known[key]?.wantedAt = now
                return entry.address
            }
            let address: TargetAddress = TargetAddress(
                host: target.host, port: target.port, service: target.service, mayConnect: self.mayConnect)
            known[key] = Entry(address: address, wantedAt: now)
            return address
        }
    }

    private func mayConnect(_ address: SocketAddress) -> Bool { self.egress(address) == .allow }

    private static func key(_ target: TargetDefinitionPlace) -> Key {
        Key(host: target.host, port: target.port, service: target.service)
    }

    /// The newest snapshot names these too, and those not any more, which are forgotten after a while. What is named is looked up
    /// for good.
    func name(_ targets: [TargetDefinitionPlace], droppingNamesOf gone: [TargetDefinitionPlace] = []) {
        for target in targets { _ = self.address(target) }
        self.known.withLock { (known: inout [Key: Entry]) in
            for target in targets { known[Self.key(target)]?.names += 1 }
            for target in gone { known[Self.key(target)]?.names -= 1 }
        }
    }

    private func forget(now: UInt64) {
        let keep: UInt64 = Self.unnamedSeconds * Self.nanosecondsPerSecond
        self.known.withLock { (known: inout [Key: Entry]) in
            known = known.filter { $0.value.names > 0 || $0.value.wantedAt &+ keep > now }
        }
    }

    var count: Int { self.known.withLock { $0.count } }

    /// Looks up names whose answers have grown old, or only those that have no address yet; returns those whose addresses
    /// changed. Blocks until all are done, several at a time.
    @discardableResult
    func refresh(onlyUnknown: Bool, now: UInt64) -> [TargetAddress] {
        self.forget(now: now)
        let names: [TargetAddress] = self.known.withLock { (known: inout [Key: Entry]) -> [TargetAddress] in
            known.values.map { $0.address }.filter { !$0.isLiteral && (onlyUnknown ? !$0.isKnown : $0.dueAt <= now) }
        }
        let left: Mutex<[TargetAddress]> = Mutex(names)
        let changed: Mutex<[TargetAddress]> = Mutex([])
        BlockingThreads.run(min(Self.threadsMax, names.count)) {
            while let name: TargetAddress = left.withLock({ $0.popLast() }) {
                if self.lookUp(name, now: now) { changed.withLock { $0.append(name) } }
            }
        }
        return changed.withLock { $0 }
    }

    /// Looks one name up; true when its addresses changed.
    private func lookUp(_ name: TargetAddress, now: UInt64) -> Bool {
        self.lookups.wrappingAdd(1, ordering: .relaxed)
        var isChanged: Bool = false
        var keep: UInt64
        switch name.service.map({ self.places(service: $0) }) ?? self.places(host: name.host, name.port) {
        case .places(let places, let seconds):
            let allowed: [TargetPlace] = places.filter { self.mayConnect($0.address) }
            if allowed.isEmpty, !places.isEmpty { self.failures.wrappingAdd(1, ordering: .relaxed) }
            isChanged = name.update(allowed)
            keep = min(max(seconds * Self.nanosecondsPerSecond, self.keepMin), self.keepMax)
        case .nothing(let seconds):
            // Nobody is there by this name; who was known before may still be.
            keep = min(max(seconds * Self.nanosecondsPerSecond, self.keepMin), self.keepMax)
        case .failed:
            self.failures.wrappingAdd(1, ordering: .relaxed)
            keep = Self.failedSeconds * Self.nanosecondsPerSecond
        }
        name.dueAt = now &+ keep
        return isChanged
    }

    private func places(host: String, _ port: UInt16) -> Finding {
        guard let client: DNSClient = self.client else {
            let found: [SocketAddress] = Self.askSystem(host, port)
            if found.isEmpty { return .failed }
            return .places(found.map { TargetPlace(address: $0) }, seconds: Self.systemSeconds)
        }
        switch client.addresses(of: host) {
        case .found(let addresses, let seconds):
            return .places(
                addresses.map { TargetPlace(address: $0.with(port: port)) }, seconds: UInt64(seconds))
        case .nothing(let seconds): return .nothing(seconds: UInt64(seconds))
        case .failed: return .failed
        }
    }

    /// The places of a service: each of its hosts with all of its addresses. What a server can make us ask for is bounded, in number
    /// and in time.
    private func places(service: String) -> Finding {
        switch self.serviceClient.services(of: service) {
        case .nothing(let seconds): return .nothing(seconds: UInt64(seconds))
        case .failed: return .failed
        case .found(let services, let seconds):
            var places: [TargetPlace] = []
            var keep: UInt64 = UInt64(seconds)
            let until: UInt64 = MonotonicTime.now &+ Self.serviceSeconds * Self.nanosecondsPerSecond
            for service in services.prefix(Self.servicesMax) where MonotonicTime.now < until {
                let bare: SocketAddress? = SocketAddress(host: service.host, port: service.port)
                let finding: Finding =
                    bare.map { .places([TargetPlace(address: $0)], seconds: keep) }
                    ?? self.places(host: service.host, service.port)
                // One host that cannot be found does not take the others away.
                guard case .places(let found, let hostSeconds) = finding else { continue }
                keep = min(keep, hostSeconds)
                for place in found {
                    places.append(
                        TargetPlace(address: place.address, priority: service.priority, weight: service.weight))
                }
            }
            return places.isEmpty ? .failed : .places(places, seconds: keep)
        }
    }

    /// Asks the system for the addresses of a name; blocks.
    private static func askSystem(_ host: String, _ port: UInt16) -> [SocketAddress] {
        var hints: addrinfo = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [SocketAddress] = []
        var entry: UnsafeMutablePointer<addrinfo>? = list
        while let current: UnsafeMutablePointer<addrinfo> = entry {
            entry = current.pointee.ai_next
            guard let raw: UnsafeMutablePointer<sockaddr> = current.pointee.ai_addr else { continue }
            let address: SocketAddress? = SocketAddress(kernelForm: raw, length: Int(current.pointee.ai_addrlen))
            if let address: SocketAddress = address { found.append(address.with(port: port)) }
        }
        return found
    }
}

/// What of a target says where it is.
struct TargetDefinitionPlace: Sendable {
    let host: String
    let port: UInt16
    let service: String?

    init(_ url: TargetURL, service: String?) {
        self.host = url.host
        self.port = url.port
        self.service = service
    }
}

/// Runs blocking work on threads of its own and waits for them.
enum BlockingThreads {
    private final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Runs `body` on `count` threads at once, one of which is the caller's.
    static func run(_ count: Int, _ body: @Sendable () -> Void) {
        if count <= 0 { return }
        var threads: [pthread_t] = []
        withoutActuallyEscaping(body) { (body: @escaping @Sendable () -> Void) in
            for _ in 1..<max(1, count) {
                var thread: pthread_t = pthread_t()
                let work: Unmanaged<Work> = .passRetained(Work(body))
                let code: Int32 = pthread_create(
                    &thread, nil,
                    { (context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? in
                        guard let context: UnsafeMutableRawPointer = context else { return nil }
                        Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body()
                        return nil
                    }, work.toOpaque())
                // With fewer threads it takes longer, and is done all the same.
                if code == 0 { threads.append(thread) } else { work.release() }
            }
            body()
            for thread in threads { pthread_join(thread, nil) }
        }
    }
}
