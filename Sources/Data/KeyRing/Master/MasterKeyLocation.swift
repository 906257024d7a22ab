import Crypto
package import HTTP

/// Where the master key is: `keys.url`.
///
/// `file:PATH`, `env:NAME`, or `openbao+http[s]://HOST:PORT/MOUNT/KEY` (`vault+…` says the same): a key of OpenBao's transit
/// engine, which wraps and unwraps without ever showing it.
package enum MasterKeyLocation: Sendable {
    case file(MasterKeyFile)
    /// The value was taken out of the environment when the process started.
    case variable(name: String, value: String?)
    case transit(TransitMasterKey)
    /// For tests and tools: a key that is there.
    case fixed(any MasterKey)

    /// - Parameters:
    ///   - openBao: how this process signs in at a server; nil: nothing says how.
    ///   - client: for calls to OpenBao; nil when the URL names none.
    ///   - namespace: of OpenBao; nil: the root.
    /// - Throws: `KeyRingError.masterRefused` that names what is expected.
    package init(
        url: String, openBao credentials: VaultServer.Credentials?, namespace: String? = nil, client: HTTPClient?,
        environment: (String) -> String?
    ) throws(KeyRingError) {
        if url.hasPrefix("file:") {
            let path: String = String(url.dropFirst(5))
            guard !path.isEmpty else { throw .masterRefused(reason: "file: names no file") }
            self = .file(MasterKeyFile(path: path))
            return
        }
        if url.hasPrefix("env:") {
            let name: String = String(url.dropFirst(4))
            self = .variable(name: name, value: environment(name))
            return
        }
        for prefix in ["openbao+", "vault+"] where url.hasPrefix(prefix) {
            guard let parts: URLParts = URLParts(String(url.dropFirst(prefix.count))), parts.query == nil,
                let place: TransitMasterKey.Place = TransitMasterKey.Place(path: parts.path)
            else {
                throw .masterRefused(
                    reason: "expected openbao+https://HOST:PORT/MOUNT/KEY, for example …/transit/passerelle")
            }
            guard let credentials: VaultServer.Credentials, let client: HTTPClient else {
                throw .masterRefused(
                    reason:
                        "OpenBao needs a token, keys.token_file; or an AppRole, keys.role_id and keys.secret_id_file")
            }
            let server: VaultServer = VaultServer(
                parts, credentials: credentials, namespace: namespace, client: client)
            self = .transit(TransitMasterKey(place: place, server: server))
            return
        }
        throw .masterRefused(reason: "expected file:PATH, env:NAME or openbao+https://HOST:PORT/MOUNT/KEY as keys.url")
    }

    /// Fetches it. A file that is missing is made.
    func load() async throws -> LoadedMaster {
        switch self {
        case .file(let file):
            let found = try file.load()
            return LoadedMaster(
                key: found.key, next: try file.loadNext(), legacy: found.wasThere ? found.key.key : nil)
        case .variable(let name, let value):
            guard let value: String else {
                throw KeyRingError.masterRefused(reason: "the environment has no \(name)")
            }
            return LoadedMaster(key: try LocalMasterKey(variable: name, value: value))
        case .transit(let key): return LoadedMaster(key: key)
        case .fixed(let key): return LoadedMaster(key: key)
        }
    }
}

/// A master key, and what its place holds besides.
struct LoadedMaster: Sendable {
    let key: any MasterKey
    /// Left by a rotation that did not end.
    var next: (any MasterKey)?
    /// The key that sealed values itself, before there were levels.
    var legacy: SecretBytes?
}
