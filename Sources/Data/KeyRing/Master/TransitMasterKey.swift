import Bytes
import JSON

/// A master key in OpenBao's (or Vault's) transit engine: it wraps and unwraps there, and never leaves.
///
/// The name of what is wrapped is associated data.
package struct TransitMasterKey: MasterKey {
    /// Mount and name of the key: letters, digits and `-_.`, the mount with slashes.
    package struct Place: Sendable, Equatable {
        let mount: String
        let key: String

        /// From `/MOUNT/KEY`.
        init?(path: String) {
            let parts: [Substring] = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map { $0 }
            guard parts.count >= 2, let key: Substring = parts.last else { return nil }
            guard parts.allSatisfy({ VaultServer.isPlain($0) }) else { return nil }
            self.mount = parts.dropLast().joined(separator: "/")
            self.key = String(key)
        }
    }

    let place: Place
    let server: VaultServer

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

    package func keepAlive() async throws -> Duration? {
        do {
            return try await self.server.keepToken()
        } catch {
            throw Self.error(error, "renew-self")
        }
    }

    private func call(_ verb: String, _ body: JSONObject) async throws -> JSONValue {
        let path: String =
            verb == "rotate"
            ? "\(self.place.mount)/keys/\(self.place.key)/rotate" : "\(self.place.mount)/\(verb)/\(self.place.key)"
        do {
            // Wrapping and unwrapping twice is as good as once; a second rotation would be one too many.
            return try await self.server.call(path, body: body, mayRepeat: verb != "rotate")
        } catch {
            throw Self.error(error, verb)
        }
    }

    private static func error(_ failure: VaultServer.Failure, _ verb: String) -> KeyRingError {
        switch failure {
        case .away(let reason): return .masterAway(reason: "OpenBao at \(reason)")
        case .refused(let status, let said):
            return .masterRefused(reason: "OpenBao answered \(status) to \(verb)\(said.isEmpty ? "" : ": \(said)")")
        }
    }
}
