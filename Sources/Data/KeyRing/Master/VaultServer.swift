import Bytes
import Files
package import HTTP
package import JSON
import Synchronization
import Time

/// A server that speaks the API of OpenBao or Vault, and how this process signs in there.
///
/// Tokens from a file are read at each call, so that an agent may renew them; one of an AppRole is fetched with the first call, and
/// again before it ends or when it is not taken any more.
package final class VaultServer: Sendable {
    package enum Credentials: Sendable {
        /// A token that somebody gave for this once.
        case token(String)
        /// A file whose first line is a token.
        case tokenFile(String)
        /// An AppRole: its id, the file whose first line is its secret id, and where the method is mounted.
        case appRole(id: String, secretFile: String, mount: String)
    }

    /// Why a call came to nothing.
    package enum Failure: Error, Sendable, Equatable {
        /// It does not answer, is sealed or overloaded: another try may do.
        case away(String)
        /// It refuses: another try changes nothing. `said` is empty, or what it says.
        case refused(status: Int, said: String)
    }

    /// Largest answer read.
    private static let answerBytesMax: Int = 8 << 20
    private static let tokenBytesMax: Int = 4_096
    /// Longest lease believed, ten years: nanoseconds of it fit.
    private static let leaseSecondsMax: Int64 = 315_360_000
    /// What follows after a token that cannot be renewed, and the bounds of what follows one that can.
    private static let renewals: ClosedRange<Duration> = .seconds(60) ... .seconds(86_400)

    private struct Signed: Sendable {
        let token: String
        /// Monotonic nanoseconds; nil: it does not end.
        let renewAt: UInt64?
    }

    package let server: URLParts
    private let namespace: String?
    private let credentials: Credentials
    private let client: GuardedClient
    private let clock: SystemClock = SystemClock()
    private let signed: Mutex<Signed?> = Mutex(nil)

    /// - Parameter namespace: of Vault Enterprise or OpenBao; nil: the root.
    package init(_ server: URLParts, credentials: Credentials, namespace: String? = nil, client: HTTPClient) {
        self.server = server
        self.credentials = credentials
        self.namespace = namespace
        self.client = GuardedClient(client)
    }

    /// - Parameters:
    ///   - path: behind `/v1/`, percent-encoded.
    ///   - body: nil: a GET.
    ///   - mayRepeat: whether doing it twice is as good as doing it once; nil: only a GET.
    /// - Returns: the answer; null where it has none.
    package func call(
        _ path: String, query: String? = nil, body: JSONObject? = nil, mayRepeat: Bool? = nil
    ) async throws(Failure) -> JSONValue {
        let known: Signed? = self.signed.withLock { $0 }
        do {
            return try await self.send(
                path, query: query, body: body, token: try await self.token(), mayRepeat: mayRepeat)
        } catch .refused(let status, _) where status == 403 && known != nil {
            // The token of before was revoked, or has ended: a fresh one decides.
            self.signed.withLock { $0 = nil }
            return try await self.send(
                path, query: query, body: body, token: try await self.token(), mayRepeat: mayRepeat)
        }
    }

    /// Renews the token of the file where that can be, so that it does not end while nothing is called.
    ///
    /// - Returns: after how long it is due again.
    package func keepToken() async throws(Failure) -> Duration {
        guard case .tokenFile = self.credentials else { return Self.renewals.upperBound }
        let answer: JSONValue
        do {
            answer = try await self.call("auth/token/renew-self", body: [:])
        } catch .refused {
            // It may not, or is none that can: whoever gave it renews it.
            return Self.renewals.upperBound
        }
        guard answer["auth"]?["renewable"]?.boolean == true, let left = answer["auth"]?["lease_duration"]?.integer
        else { return Self.renewals.upperBound }
        return min(max(.seconds(left / 3), Self.renewals.lowerBound), Self.renewals.upperBound)
    }

    /// What is expected of the path of a mount or namespace; nil when it is one: parts of letters, digits and `-_.`, with slashes
    /// between.
    package static func problem(place: String) -> String? {
        let isFine: Bool = place.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { Self.isPlain($0) }
        return isFine && place.utf8.count <= 512 ? nil : "letters, digits, '-', '_' and '.', with '/' between parts"
    }

    /// Whether a part of a path stands in a URL as it is.
    static func isPlain(_ part: Substring) -> Bool {
        let hasPlainBytes: Bool = part.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || [0x2d, 0x5f, 0x2e].contains(byte)
        }
        return hasPlainBytes && !part.isEmpty && part != "." && part != ".."
    }

    // MARK: Signing in

    private func token() async throws(Failure) -> String {
        switch self.credentials {
        case .token(let token): return token
        case .tokenFile(let path): return try Self.line(of: path, "the token")
        case .appRole(let id, let secretFile, let mount):
            if let known: Signed = self.signed.withLock({ $0 }),
                known.renewAt.map({ self.clock.monotonic() < $0 }) ?? true
            {
                return known.token
            }
            let answer: JSONValue = try await self.send(
                "auth/\(mount)/login", query: nil,
                body: [
                    "role_id": .string(id), "secret_id": .string(try Self.line(of: secretFile, "the secret id")),
                ], token: nil)
            guard let token: String = answer["auth"]?["client_token"]?.text else {
                throw .refused(status: 200, said: "the answer to the login holds no token")
            }
            let seconds: Int64 = min(max(0, answer["auth"]?["lease_duration"]?.integer ?? 0), Self.leaseSecondsMax)
            let renewAt: UInt64? =
                seconds == 0 ? nil : self.clock.monotonic() + UInt64(clamping: seconds) * 2 / 3 * 1_000_000_000
            self.signed.withLock { $0 = Signed(token: token, renewAt: renewAt) }
            return token
        }
    }

    private static func line(of path: String, _ what: String) throws(Failure) -> String {
        do throws(FileError) {
            return String(
                decoding: try Files.read(path, bytesMax: Self.tokenBytesMax).prefix { $0 > 32 }, as: UTF8.self)
        } catch {
            throw .away("\(what) cannot be read: \(error)")
        }
    }

    // MARK: Calls

    private func send(
        _ path: String, query: String?, body: JSONObject?, token: String?, mayRepeat: Bool? = nil
    ) async throws(Failure) -> JSONValue {
        var fields: HTTPFields = HTTPFields()
        if let token: String { fields.append("X-Vault-Token", token) }
        if let namespace: String = self.namespace { fields.append("X-Vault-Namespace", namespace) }
        if body != nil { fields.append("Content-Type", "application/json") }
        let url: URLParts = URLParts(
            scheme: self.server.scheme, host: self.server.host, port: self.server.port, path: "/v1/\(path)",
            query: query)
        let (status, bytes): (Int, [UInt8])
        do {
            let answer: GuardedClient.Answer = try await self.client.send(
                HTTPClientRequest(
                    method: body == nil ? .get : .post, url: url, fields: fields,
                    body: body.map { JSONValue.object($0).serialized() } ?? []),
                bytesMax: Self.answerBytesMax, mayRepeat: mayRepeat)
            (status, bytes) = (answer.status, answer.bytes)
        } catch {
            throw .away("\(self.server.authority) does not answer (\(error))")
        }
        let answer: JSONValue = (try? JSONReader.parse(bytes, limits: JSONLimits(bytes: Self.answerBytesMax))) ?? .null
        if (200..<300).contains(status) { return answer }
        let said: String = answer["errors"]?.elements?.first?.text ?? ""
        // Sealed, not yet the leader, overloaded: those pass.
        if status >= 500 || status == 429 || status == 412 {
            throw .away("\(self.server.authority) answered \(status)\(said.isEmpty ? "" : ": \(said)")")
        }
        throw .refused(status: status, said: said)
    }
}
