import Bytes
import Crypto
import Files
package import GatewayConfiguration
package import JSON

/// A gateway's own key: secrets of its snapshot are sealed to it, on the way and on its disk.
///
/// P-256, made at the first start, in `gateway.key` of the gateway's folder, mode 0600, sealed where there is a key of the folder. A
/// gateway that has lost it makes another one, and gets its secrets from the control plane again. Any thread may call.
package final class GatewayKey: SecretOpener {
    package static let fileName: String = "gateway.key"
    /// The field of a pull that tells the control plane what to seal to.
    package static let field: String = "Passerelle-Gateway-Key"
    private static let fileBytesMax: Int = 4_096

    private let key: PrivateKey
    private let publicKey: PublicKey
    /// The public half as the field carries it.
    package let publicText: String

    /// - Parameters:
    ///   - folder: of the gateway; made when missing.
    ///   - folderKey: what it is sealed with; nil: it lies there in clear.
    package init(folder: String, folderKey: FolderKey? = nil) throws {
        let path: String = "\(folder)/\(Self.fileName)"
        if Files.exists(path),
            let pem: [UInt8] = try FolderKey.read(path, bytesMax: Self.fileBytesMax, with: folderKey)
        {
            self.key = try PrivateKey(pem: String(decoding: pem, as: UTF8.self))
        } else {
            try Files.makeFolder(folder)
            self.key = try PrivateKey.generate(.p256)
            try FolderKey.write(Array(try self.key.pem().utf8), to: path, with: folderKey)
        }
        self.publicKey = try self.key.publicKey()
        self.publicText = Base64.encodeURL(Array(try self.publicKey.pem().utf8))
    }

    package func open(_ sealed: [UInt8], reference: String) -> String? {
        guard let value: [UInt8] = try? SealedBox.open(sealed, with: self.key, associatedData: Array(reference.utf8))
        else { return nil }
        return String(validating: value, as: UTF8.self)
    }

    /// The secrets of a document, sealed for this gateway: what is kept beside it on the disk.
    func sealed(_ document: HashedDocument) -> JSONObject {
        SnapshotSecrets.sealed(document.secrets, to: self.publicKey)
    }
}

/// The member `secrets` of what goes over the link: boxes by `tenant/name@version`.
package enum SnapshotSecrets {
    /// - Parameter field: the gateway's public key, as `GatewayKey.publicText` has it; nil seals nothing.
    package static func sealed(_ secrets: [EntryKey: EntrySecrets], toField field: String?) -> JSONObject {
        guard !secrets.isEmpty, let field: String, let pem: [UInt8] = Base64.decodeURL(field),
            let key: PublicKey = try? PublicKey(pem: String(decoding: pem, as: UTF8.self)), key.kind == .p256
        else { return [:] }
        return Self.sealed(secrets, to: key)
    }

    static func sealed(_ secrets: [EntryKey: EntrySecrets], to key: PublicKey) -> JSONObject {
        var values: [String: String] = [:]
        for (entry, known) in secrets {
            for (reference, value) in known { values["\(entry.tenant)/\(reference)"] = value }
        }
        var sealed: JSONObject = JSONObject()
        for reference in values.keys.sorted() {
            guard let value: String = values[reference],
                let box: [UInt8] = try? SealedBox.seal(
                    Array(value.utf8), to: key, associatedData: Array(reference.utf8))
            else { continue }
            sealed.append(reference, .string(Base64.encode(box)))
        }
        return sealed
    }
}
