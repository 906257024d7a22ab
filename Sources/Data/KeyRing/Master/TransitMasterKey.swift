import Bytes
import Files
import HTTP
import JSON

/// A master key in OpenBao's (or Vault's) transit engine: it wraps and unwraps there, and never leaves.
///
/// Each call presents the token in a file, so that an agent may renew it. The name of what is wrapped is associated data.
package struct TransitMasterKey: MasterKey {
    /// Largest answer read.
    private static let answerBytesMax: Int = 64 * 1_024
    private static let tokenBytesMax: Int = 4_096

    /// Mount and name of the key: letters, digits and `-_.`, the mount with slashes.
    package struct Place: Sendable, Equatable {
        let mount: String
        let key: String

        /// From `/MOUNT/KEY`.
        init?(path: String) {
            let parts: [Substring] = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map { $0 }
            guard parts.count >= 2, let key: Substring = parts.last else { return nil }
            for part in parts {
                let isPlain: Bool = part.utf8.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20)
                        || [0x2d, 0x5f, 0x2e].contains(byte)
                }
                guard isPlain, !part.isEmpty, part != ".", part != ".." else { return nil }
            }
            self.mount = parts.dropLast().joined(separator: "/")
            self.key = String(key)
        }
    }

    let server: URLParts
    let place: Place
    let tokenFile: String
    let client: HTTPClient

    package var id: String { "transit:\(self.place.mount)/\(self.place.key)" }

    package func wrap(_ key: [UInt8], name: String) async throws -> [UInt8] {
        let answer: JSONValue = try await self.call(
            "encrypt",
            [
                "plaintext": .string(Base64.encode(key)),
                "associated_data": .string(Base64.encode(Array(name.utf8))),
            ])
        guard let text: String = answer["data"]?["ciphertext"]?.text else {
            throw KeyRingError.masterRefused(reason: "OpenBao's answer holds no ciphertext")
        }
        return Array(text.utf8)
    }

    package func unwrap(_ wrapped: [UInt8], name: String) async throws -> [UInt8] {
        let answer: JSONValue = try await self.call(
            "decrypt",
            [
                "ciphertext": .string(String(decoding: wrapped, as: UTF8.self)),
                "associated_data": .string(Base64.encode(Array(name.utf8))),
            ])
        guard let key: [UInt8] = answer["data"]?["plaintext"]?.text.flatMap({ Base64.decode($0) }) else {
            throw KeyRingError.masterRefused(reason: "OpenBao's answer holds no plaintext")
        }
        return key
    }

    /// A new version of the key in OpenBao; older ones still unwrap until its `min_decryption_version` is raised.
    package func next() async throws -> any MasterKey {
        _ = try await self.call("rotate", [:])
        return self
    }

    package func settle() async throws {}

    private func call(_ verb: String, _ body: JSONObject) async throws -> JSONValue {
        let path: String =
            verb == "rotate"
            ? "/v1/\(self.place.mount)/keys/\(self.place.key)/rotate"
            : "/v1/\(self.place.mount)/\(verb)/\(self.place.key)"
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", "application/json")
        fields.append("X-Vault-Token", try self.token())
        let url: URLParts = URLParts(
            scheme: self.server.scheme, host: self.server.host, port: self.server.port, path: path, query: nil)
        let (status, bytes): (Int, [UInt8])
        do {
            let response: HTTPClientResponse = try await self.client.send(
                HTTPClientRequest(
                    method: .post, url: url, fields: fields, body: JSONValue.object(body).serialized()))
            status = response.status
            bytes = try await response.body.collect(max: Self.answerBytesMax)
        } catch {
            throw KeyRingError.masterAway(reason: "OpenBao at \(self.server.authority) does not answer (\(error))")
        }
        let answer: JSONValue = (try? JSONReader.parse(bytes)) ?? .null
        if (200..<300).contains(status) { return answer }
        let said: String = answer["errors"]?.elements?.first?.text ?? ""
        let reason: String = "OpenBao answered \(status) to \(verb)\(said.isEmpty ? "" : ": \(said)")"
        // Sealed, not yet the leader, overloaded: those pass.
        if status >= 500 || status == 429 || status == 412 { throw KeyRingError.masterAway(reason: reason) }
        throw KeyRingError.masterRefused(reason: reason)
    }

    private func token() throws -> String {
        do {
            let bytes: [UInt8] = try Files.read(self.tokenFile, bytesMax: Self.tokenBytesMax)
            return String(decoding: bytes.prefix { $0 > 32 }, as: UTF8.self)
        } catch {
            throw KeyRingError.masterAway(reason: "the token cannot be read: \(error)")
        }
    }
}
