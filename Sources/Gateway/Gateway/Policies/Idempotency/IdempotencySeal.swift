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
    private let key: [UInt8]

    /// - Parameters:
    ///   - request: route, caller and idempotency key, told apart.
    ///   - secret: what all gateways have and others have not; empty: there is none.
    init(name: String, request: [UInt8], secret: [UInt8]) {
        self.name = name
        // A key of HMAC is never empty here.
        self.key = HMACSHA256.authenticate(Self.label + request, key: secret.isEmpty ? Self.label : secret)
    }

    /// Nil: the library failed.
    func seal(_ record: IdempotencyRecord) -> [UInt8]? {
        let sealed: [UInt8]? = try? AESGCM.seal(record.bytes, key: self.key, associatedData: Array(self.name.utf8))
        return sealed.map { [Self.format] + $0 }
    }

    /// Nil: it was written with another secret, by another version, or by nobody who may.
    func open(_ bytes: [UInt8]) -> IdempotencyRecord? {
        guard bytes.first == Self.format else { return nil }
        let record: [UInt8]? = try? AESGCM.open(
            Array(bytes.dropFirst()), key: self.key, associatedData: Array(self.name.utf8))
        return record.flatMap { IdempotencyRecord($0) }
    }
}
