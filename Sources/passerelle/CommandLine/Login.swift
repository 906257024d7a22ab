import Files
import Glibc
import JSON

/// What `login` saved: the control plane's address, the tenant in use and the token. In the user's configuration folder, mode 0600.
struct Login: Sendable {
    var url: String
    var tenant: String?
    var token: String

    private static var folder: String {
        if let folder: String = Self.environment("PASSERELLE_HOME") { return folder }
        if let folder: String = Self.environment("XDG_CONFIG_HOME") { return folder + "/passerelle" }
        return (Self.environment("HOME") ?? ".") + "/.config/passerelle"
    }

    static func environment(_ name: String) -> String? {
        guard let value: UnsafeMutablePointer<CChar> = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }

    /// The saved login; nil when there is none or the file is not readable.
    static func saved() -> Login? {
        guard let bytes: [UInt8] = try? Files.read(Self.folder + "/login.json", bytesMax: 64 * 1024),
            let value: JSONValue = try? JSONReader.parse(bytes), let url: String = value["url"]?.text,
            let token: String = value["token"]?.text
        else { return nil }
        return Login(url: url, tenant: value["tenant"]?.text, token: token)
    }

    func save() throws(CommandError) {
        var object: JSONObject = ["url": .string(self.url), "token": .string(self.token)]
        if let tenant: String = self.tenant { object["tenant"] = .string(tenant) }
        do {
            try Files.makeFolder(Self.folder)
            try Files.replace(Self.folder + "/login.json", with: JSONValue.object(object).pretty(), mode: 0o600)
        } catch {
            throw .failed("The login could not be saved in \(Self.folder): \(error)")
        }
    }
}
