import CLinux
package import EventLoops
import Glibc

/// What became of a question.
package enum DNSOutcome<Value: Sendable & Equatable>: Sendable, Equatable {
    /// With the seconds it may be kept.
    case found(Value, seconds: UInt32)
    /// There is nothing of this kind; with the seconds that may be remembered.
    case nothing(seconds: UInt32)
    /// No server answered, or none could: it says nothing about the name.
    case failed(String)
}

/// Asks DNS servers through libresolv. Blocks: for threads of one's own.
package struct DNSClient: Sendable {
    /// Those to ask, in order; at most three. Empty: the system's.
    package let servers: [SocketAddress]
    /// Whole seconds for one question to one server, 1 to 60.
    package let timeoutSeconds: Int
    /// Rounds over the servers.
    package let attempts: Int

    /// How many servers libresolv takes.
    package static let serversMax: Int = 3
    /// Kept for "nothing" where a server does not say.
    private static let negativeDefault: UInt32 = 5
    /// Aliases that are followed within one answer.
    private static let aliasesMax: Int = 16
    /// The largest message over TCP.
    private static let answerBytes: Int = 65_535

    package init(servers: [SocketAddress] = [], timeoutSeconds: Int = 2, attempts: Int = 2) {
        self.servers = Array(servers.prefix(Self.serversMax))
        self.timeoutSeconds = timeoutSeconds
        self.attempts = attempts
    }

    /// The addresses of a host, of both families; ports are 0.
    package func addresses(of host: String) -> DNSOutcome<[SocketAddress]> {
        let four: DNSOutcome<[SocketAddress]> = self.ask(host, type: 1) { Self.address($0) }
        let six: DNSOutcome<[SocketAddress]> = self.ask(host, type: 28) { Self.address($0) }
        switch (six, four) {
        case (.found(let first, let firstSeconds), .found(let second, let secondSeconds)):
            return .found(first + second, seconds: min(firstSeconds, secondSeconds))
        case (.found, _): return six
        case (_, .found): return four
        case (.failed, _): return six
        case (_, .failed): return four
        case (.nothing(let first), .nothing(let second)): return .nothing(seconds: min(first, second))
        }
    }

    /// The places of a service (`_http._tcp.example.com`), as they came.
    package func services(of name: String) -> DNSOutcome<[DNSService]> {
        self.ask(name, type: 33) { (content: DNSRecord.Content) -> DNSService? in
            // "." says that the service is not there (RFC 2782).
            if case .service(let service) = content, !service.host.isEmpty { return service }
            return nil
        }
    }

    private static func address(_ content: DNSRecord.Content) -> SocketAddress? {
        if case .address(let address) = content { return address }
        return nil
    }

    private func ask<Value>(
        _ name: String, type: Int32, _ pick: (DNSRecord.Content) -> Value?
    ) -> DNSOutcome<[Value]> {
        guard let bytes: [UInt8] = self.query(name, type: type) else { return .failed("no server answered") }
        let message: DNSMessage
        do throws(DNSError) {
            message = try DNSMessage(bytes)
        } catch {
            return .failed("the answer cannot be read: \(error)")
        }
        guard message.code == 0 || message.code == 3 else {
            return .failed("the server answered with code \(message.code)")
        }
        return Self.read(message, name: name.lowercased(), pick)
    }

    /// What the answer says of the name, by way of its aliases.
    package static func read<Value>(
        _ message: DNSMessage, name: String, _ pick: (DNSRecord.Content) -> Value?
    ) -> DNSOutcome<[Value]> {
        var wanted: String = name.hasSuffix(".") ? String(name.dropLast()) : name
        var seconds: UInt32 = .max
        for _ in 0..<Self.aliasesMax {
            var found: [Value] = []
            var alias: String?
            for record in message.answers where record.name == wanted {
                if let value: Value = pick(record.content) {
                    found.append(value)
                    seconds = min(seconds, record.seconds)
                } else if case .alias(let next) = record.content {
                    alias = next
                    seconds = min(seconds, record.seconds)
                }
            }
            if !found.isEmpty { return .found(found, seconds: seconds) }
            guard let alias else { break }
            wanted = alias
        }
        return .nothing(seconds: message.negativeSeconds ?? Self.negativeDefault)
    }

    /// A server as `clinux_dns_query` takes it.
    private static func form(_ server: SocketAddress) -> [UInt8] {
        var bytes: [UInt8] = [server.family == .v4 ? 4 : 6]
        let start: Int = server.family == .v4 ? 12 : 0
        for index in 0..<16 { bytes.append(start + index < 16 ? server.bytes[start + index] : 0) }
        return bytes + [UInt8(server.port >> 8), UInt8(truncatingIfNeeded: server.port)]
    }

    private func query(_ name: String, type: Int32) -> [UInt8]? {
        var answer: [UInt8] = [UInt8](repeating: 0, count: Self.answerBytes)
        var servers: [UInt8] = []
        for server in self.servers { servers += Self.form(server) }
        let count: Int32 = clinux_dns_query(
            servers, Int32(self.servers.count), Int32(self.timeoutSeconds), Int32(self.attempts), name, type, &answer,
            Int32(answer.count))
        // A server may say that it had more to say than it could.
        guard count >= 12 else { return nil }
        answer.removeLast(answer.count - min(Int(count), answer.count))
        return answer
    }
}
