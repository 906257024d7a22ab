import Files
import Glibc
import JSON
import Time

/// What `login` saved: the control plane's address, the tenant in use, the token, and the files that TLS needs. In the user's
/// configuration folder, mode 0600.
struct Login: Sendable {
    /// What a login by a device code renews its token with.
    struct Renewal: Sendable, Equatable {
        var refreshToken: String
        /// When the token ends.
        var expiresAt: Timestamp
    }

    private static let fileBytesMax: Int = 64 * 1_024

    var url: String
    var tenant: String?
    var token: String
    /// The session to end with `logout`; nil where the token is of a client of the session.
    var session: String?
    /// The files by which the two know each other, where that is TLS.
    var trust: ControlPlaneTrust = ControlPlaneTrust()
    /// Nil after a login with name and password, whose token works for hours.
    var renewal: Renewal?

    static var folder: String {
        if let folder: String = Self.environment("PASSERELLE_HOME") { return folder }
        if let folder: String = Self.environment("XDG_CONFIG_HOME") { return folder + "/passerelle" }
        return (Self.environment("HOME") ?? ".") + "/.config/passerelle"
    }

    private static var path: String { Self.folder + "/login.json" }

    static func environment(_ name: String) -> String? {
        guard let value: UnsafeMutablePointer<CChar> = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }

    /// The saved login; nil when there is none or the file is not readable.
    static func saved() -> Login? {
        guard let bytes: [UInt8] = try? Files.read(Self.path, bytesMax: Self.fileBytesMax),
            let value: JSONValue = try? JSONReader.parse(bytes), let url: String = value["url"]?.text,
            let token: String = value["token"]?.text
        else { return nil }
        var login: Login = Login(url: url, tenant: value["tenant"]?.text, token: token)
        login.session = value["session"]?.text
        login.trust = ControlPlaneTrust(
            authorities: value["ca"]?.text, certificate: value["client_certificate"]?.text,
            key: value["client_key"]?.text)
        if let refresh: String = value["refresh_token"]?.text, let end: String = value["expires_at"]?.text,
            let expiresAt: Timestamp = Timestamp(rfc3339: end)
        {
            login.renewal = Renewal(refreshToken: refresh, expiresAt: expiresAt)
        }
        return login
    }

    func save() throws(CommandError) {
        var object: JSONObject = ["url": .string(self.url), "token": .string(self.token)]
        if let tenant: String = self.tenant { object["tenant"] = .string(tenant) }
        if let session: String = self.session { object["session"] = .string(session) }
        if let file: String = self.trust.authorities { object["ca"] = .string(file) }
        if let file: String = self.trust.certificate { object["client_certificate"] = .string(file) }
        if let file: String = self.trust.key { object["client_key"] = .string(file) }
        if let renewal: Renewal = self.renewal {
            object["refresh_token"] = .string(renewal.refreshToken)
            object["expires_at"] = .string(renewal.expiresAt.rfc3339)
        }
        do {
            try Files.makeFolder(Self.folder)
            try Files.replace(Self.path, with: JSONValue.object(object).pretty(), mode: 0o600)
        } catch {
            throw .failed("The login could not be saved in \(Self.folder): \(error)")
        }
    }

    /// Forgets the saved login.
    static func remove() throws(CommandError) {
        guard Files.exists(Self.path) else { return }
        do {
            try Files.remove(Self.path)
        } catch {
            throw .failed("The login in \(Self.folder) could not be removed: \(error)")
        }
    }
}

/// Lets one command at a time renew the saved login: a refresh token works once, and a second one that came with it would end all.
struct LoginLock: ~Copyable {
    /// How long another command may take.
    private static let waitMax: Duration = .seconds(60)

    private let descriptor: Int32

    /// Waits for the others. - Throws: when they take too long, or the folder cannot be written.
    static func take() async throws(CommandError) -> LoginLock {
        let path: String = Login.folder + "/login.lock"
        let descriptor: Int32 = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw .failed("The saved login cannot be renewed: \(path): \(String(cString: strerror(errno)))")
        }
        let clock: SystemClock = SystemClock()
        let deadline: Timestamp = clock.now().adding(Self.waitMax)
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR, clock.now() < deadline else {
                close(descriptor)
                throw .failed("Another command has been renewing the login for too long. Try again.")
            }
            try? await clock.sleep(for: .milliseconds(20))
        }
        return LoginLock(descriptor: descriptor)
    }

    private init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(self.descriptor) }
}
