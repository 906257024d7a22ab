import Bytes

/// What an authenticator says and signs (WebAuthn Level 3 section 6.1).
///
///     rpIdHash 32 | flags 1 | signCount 4 | attested credential, when AT | extensions (CBOR map), when ED
///     attested credential: aaguid 16 | credential id's length 2 | credential id | public key (COSE, CBOR map)
///
/// Nothing may follow. A credential id has 1 to 1023 bytes. A key that is backed up says that it may be.
package struct AuthenticatorData: Sendable, Equatable {
    package static let bytesMax: Int = 16 << 10
    package static let credentialIDBytesMax: Int = 1_023

    package struct Flags: OptionSet, Sendable {
        package let rawValue: UInt8

        package init(rawValue: UInt8) { self.rawValue = rawValue }

        package static let userPresent: Flags = Flags(rawValue: 1)
        package static let userVerified: Flags = Flags(rawValue: 1 << 2)
        /// The key may be on several devices of its user.
        package static let backupEligible: Flags = Flags(rawValue: 1 << 3)
        package static let backedUp: Flags = Flags(rawValue: 1 << 4)
        package static let attestedCredential: Flags = Flags(rawValue: 1 << 6)
        package static let extensions: Flags = Flags(rawValue: 1 << 7)
    }

    package struct AttestedCredential: Sendable, Equatable {
        /// The model of the authenticator; zeros when it does not say.
        package let aaguid: [UInt8]
        package let id: [UInt8]
        package let key: COSEKey
    }

    package let relyingPartyHash: [UInt8]
    package let flags: Flags
    package let counter: UInt32
    package let credential: AttestedCredential?

    package init(parsing bytes: [UInt8]) throws(WebAuthnError) {
        guard bytes.count <= Self.bytesMax else {
            throw .malformed("authenticator data: expected at most \(Self.bytesMax) bytes")
        }
        var reader: ByteReader = ByteReader(bytes)
        do throws(ByteReaderError) {
            self.relyingPartyHash = try reader.read(32)
            self.flags = Flags(rawValue: try reader.readUInt8())
            self.counter = try reader.readUInt32()
        } catch {
            throw .malformed("authenticator data: expected at least 37 bytes")
        }
        guard self.flags.contains(.backupEligible) || !self.flags.contains(.backedUp) else {
            throw .malformed("authenticator data: backed up, and not eligible for it")
        }
        self.credential =
            self.flags.contains(.attestedCredential) ? try Self.credential(&reader, bytes) : nil
        if self.flags.contains(.extensions) {
            guard case .map = try Self.value(&reader, bytes, "extensions") else {
                throw .malformed("authenticator data: expected extensions to be a map")
            }
        }
        guard reader.isAtEnd else { throw .malformed("authenticator data: expected the end") }
    }

    private static func credential(
        _ reader: inout ByteReader, _ bytes: [UInt8]
    ) throws(WebAuthnError) -> AttestedCredential {
        let (aaguid, id): ([UInt8], [UInt8])
        do throws(ByteReaderError) {
            aaguid = try reader.read(16)
            let length: Int = Int(try reader.readUInt16())
            guard (1...Self.credentialIDBytesMax).contains(length) else {
                throw .invalidLength(offset: reader.offset, length: Int64(length))
            }
            id = try reader.read(length)
        } catch {
            throw .malformed("authenticator data: expected an attested credential")
        }
        let start: Int = reader.offset
        let value: CBORValue = try Self.value(&reader, bytes, "public key")
        return AttestedCredential(
            aaguid: aaguid, id: id, key: try COSEKey(value, encoded: Array(bytes[start..<reader.offset])))
    }

    private static func value(
        _ reader: inout ByteReader, _ bytes: [UInt8], _ what: String
    ) throws(WebAuthnError) -> CBORValue {
        do {
            let (value, count): (CBORValue, Int) = try CBORReader.parsePrefix(bytes[reader.offset...])
            try reader.skip(count)
            return value
        } catch {
            throw .malformed("authenticator data, \(what): \(error)")
        }
    }
}
