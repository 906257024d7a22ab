import Crypto

/// Seals what gateways tell each other of one idempotency key: it opens for a gateway that was shown the same key by the same caller at
/// the same route, and has the same secret. The place where it is kept learns neither key nor answer.
///
/// ```
/// 1 byte   format: 2 (1 was an `IdempotencyRecord` in the clear)
/// the rest an `IdempotencyRecord`, AES-256-GCM, bound to the name it is kept by
/// ```
/// The key of each seal is HMAC-SHA-256, under the gateways' secret, of route, caller and idempotency key. Without a secret it is as
/// hard to find as that key is to guess.
struct IdempotencySeal: Sendable {
    private static let format: UInt8 = 2
    private static let label: [UInt8] = Array("passerelle idempotency record\u{0}".utf8)

    /// Where it is kept: begins with the tenant, and does not show the key of the request.
    let name: String
    /// The first seals; those after it are of gateways that have not heard of it yet, or of before.
    private let keys: [[UInt8]]

    /// - Parameters:
    ///   - request: route, caller and idempotency key, told apart.
    ///   - secrets: what all gateways have and others have not: the first seals, each opens. Empty: there is none.
    init(name: String, request: [UInt8], secrets: [[UInt8]]) {
        self.name = name
        // A key of HMAC is never empty here.
        let secrets: [[UInt8]] = secrets.isEmpty ? [Self.label] : secrets
        self.keys = secrets.map { HMACSHA256.authenticate(Self.label + request, key: $0) }
    }

    /// Nil: the library failed.
    func seal(_ record: IdempotencyRecord) -> [UInt8]? {
        let sealed: [UInt8]? = try? AESGCM.seal(
            record.bytes, key: self.keys[0], associatedData: Array(self.name.utf8))
        return sealed.map { [Self.format] + $0 }
    }

    /// Nil: it was written with another secret, by another version, or by nobody who may.
    func open(_ bytes: [UInt8]) -> IdempotencyRecord? {
        guard bytes.first == Self.format else { return nil }
        for key in self.keys {
            let record: [UInt8]? = try? AESGCM.open(
                Array(bytes.dropFirst()), key: key, associatedData: Array(self.name.utf8))
            if let record: [UInt8] { return IdempotencyRecord(record) }
        }
        return nil
    }
}
