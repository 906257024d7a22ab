import Crypto
import EventLoops
import Files
import Glibc
import HTTP
import KeyRing
import Secrets
import TLS

/// Where the master key is: `keys.url` and what belongs to it.
struct KeySettings: Sendable {
    /// `file:PATH`, `env:NAME`, `openbao+https://HOST:PORT/MOUNT/KEY`; nil is `master.key` in the data folder.
    var url: String?
    /// The master key before, while the keys move to the present one.
    var oldURL: String?
    /// The file with the token for OpenBao; read at each call.
    var tokenFile: String?
    /// An AppRole of OpenBao instead: its id, and the file with its secret id; read at each login.
    var roleID: String?
    var secretIDFile: String?
    /// Where that method is mounted. Default `approle`.
    var authMount: String = "approle"
    /// The namespace of OpenBao or Vault. Default: the root.
    var namespace: String?
    /// The authorities OpenBao's certificate is checked against, PEM. Default: those this machine trusts.
    var authoritiesFile: String?

    /// How old data keys and key-encrypting keys become before they rotate by themselves; nil: never. Default 90 d, 1 h…10 years.
    var rotateEvery: Duration? = SecretsService.rotateEveryDefault

    static let rotations: ClosedRange<Duration> = .seconds(3_600) ... .seconds(3_650 * 86_400)

    private static let authoritiesBytesMax: Int = 1 << 20
    /// Longest a call to OpenBao may take.
    private static let callMax: Duration = .seconds(10)
    /// With others on the database: how long they have to learn of a key before it is used.
    private static let overlap: Duration = .seconds(15)

    /// What the key ring needs to know. A variable that holds a key is taken out of the environment, so that no child sees it.
    func configuration(data: String, isShared: Bool) throws(CommandError) -> KeyRingConfiguration {
        do {
            var configuration: KeyRingConfiguration = KeyRingConfiguration(
                master: try self.location(self.url) ?? .file(MasterKeyFile(folder: data)),
                old: try self.location(self.oldURL))
            if isShared { configuration.overlap = Self.overlap }
            return configuration
        } catch let error as KeyRingError {
            throw .usage("keys.url: \(error)")
        } catch {
            throw .usage("keys: \(error)")
        }
    }

    private func location(_ url: String?) throws -> MasterKeyLocation? {
        guard let url: String else { return nil }
        let client: HTTPClient? = url.hasPrefix("openbao+") || url.hasPrefix("vault+") ? try self.client() : nil
        return try MasterKeyLocation(
            url: url, openBao: try self.credentials(), namespace: self.namespace, client: client,
            environment: { name in
                let value: String? = Login.environment(name)
                unsetenv(name)
                return value
            })
    }

    private func credentials() throws(CommandError) -> VaultServer.Credentials? {
        guard (self.roleID == nil) == (self.secretIDFile == nil) else {
            throw .usage("keys.role_id and keys.secret_id_file belong together: give both or none.")
        }
        if let id: String = self.roleID, let file: String = self.secretIDFile {
            guard self.tokenFile == nil else {
                throw .usage("keys.token_file and keys.role_id are two ways to sign in: give one.")
            }
            return .appRole(id: id, secretFile: file, mount: self.authMount)
        }
        return self.tokenFile.map { .tokenFile($0) }
    }

    private func client() throws -> HTTPClient {
        var tls: TLSClientConfiguration = TLSClientConfiguration()
        if let path: String = self.authoritiesFile {
            let bytes: [UInt8] = try Files.read(path, bytesMax: Self.authoritiesBytesMax)
            tls.trust = .authorities(try Certificate.chain(pem: String(decoding: bytes, as: UTF8.self)))
        }
        // The operator names this server: no rules of egress apply.
        var configuration: HTTPClientConfiguration = HTTPClientConfiguration(
            tls: try TLSContext.client(tls), egress: { _ in .allow })
        configuration.timeouts.response = Self.callMax
        configuration.timeouts.total = Self.callMax
        return HTTPClient(group: EventLoopGroup(count: 1, name: "keys"), configuration: configuration)
    }
}
