import Bytes
import Crypto

/// The uppermost key: it wraps the key-encrypting keys, and nothing else is known of it.
///
/// One that is kept elsewhere is asked for each wrapping, which may take a while and fail; so only opening the key ring and
/// rotating its upper levels asks.
package protocol MasterKey: Sendable {
    /// What names it without telling anything of it, at most 200 bytes; stored beside each key it wraps.
    var id: String { get }
    /// - Parameter name: of the key that is wrapped: it does not unwrap under another.
    func wrap(_ key: [UInt8], name: String) async throws -> [UInt8]
    func unwrap(_ wrapped: [UInt8], name: String) async throws -> [UInt8]
    /// Makes its next version, with which keys are wrapped from then on; those wrapped before still unwrap.
    ///
    /// - Returns: what wraps from now on. - Throws: `KeyRingError.cannotRotate` where that is done by other means.
    func next() async throws -> any MasterKey
    /// The keys are wrapped with it, durably: what came before it may go.
    func settle() async throws
    /// Keeps alive what this process signs in with where the key is kept.
    ///
    /// - Returns: after how long it is due again; nil: there is nothing to keep alive.
    func keepAlive() async throws -> Duration?
}

extension MasterKey {
    package func keepAlive() async throws -> Duration? { nil }
}

/// A master key in memory: 32 bytes from a file or a variable.
package struct LocalMasterKey: MasterKey {
    private static let format: UInt8 = 1

    /// Where it came from, to say so in errors.
    let source: Source
    let key: SecretBytes

    enum Source: Sendable {
        case file(MasterKeyFile)
        case variable(String)
    }

    package var id: String { "local:\(self.key.reveal { MasterKeyFile.fingerprint(of: $0) })" }

    /// Wipes the array.
    ///
    /// - Precondition: the key has 32 bytes.
    init(key: inout [UInt8], source: Source) {
        precondition(key.count == AESGCM.keyLength)
        self.key = SecretBytes(wiping: &key)
        self.source = source
    }

    /// From an environment variable: 64 hexadecimal digits, or 32 bytes in base64.
    package init(variable: String, value: String) throws(KeyRingError) {
        guard var key: [UInt8] = Hex.decode(value) ?? Base64.decode(value), key.count == AESGCM.keyLength else {
            throw .masterRefused(
                reason: "\(variable) is no key: expected 64 hexadecimal digits, or 32 bytes in base64")
        }
        self.init(key: &key, source: .variable(variable))
    }

    package func wrap(_ key: [UInt8], name: String) async throws -> [UInt8] {
        [Self.format]
            + (try self.key.reveal { try AESGCM.seal(key, key: $0, associatedData: Self.associatedData(name)) })
    }

    package func unwrap(_ wrapped: [UInt8], name: String) async throws -> [UInt8] {
        guard wrapped.first == Self.format,
            let key: [UInt8] = try? self.key.reveal({
                try AESGCM.open(Array(wrapped.dropFirst()), key: $0, associatedData: Self.associatedData(name))
            })
        else { throw KeyRingError.cannotOpen(name: name) }
        return key
    }

    package func next() async throws -> any MasterKey {
        switch self.source {
        case .file(let file):
            var key: [UInt8] = try file.makeNext()
            return LocalMasterKey(key: &key, source: self.source)
        case .variable(let name):
            throw KeyRingError.cannotRotate(
                how:
                    "The master key comes from the environment (\(name)), which only you can change: start with the new key there and the old one as keys.old_url, for example env:\(name)_OLD."
            )
        }
    }

    package func settle() async throws {
        if case .file(let file) = self.source { try self.key.reveal { try file.settle(on: $0) } }
    }

    private static func associatedData(_ name: String) -> [UInt8] { Array("passerelle master\u{0}\(name)".utf8) }
}
