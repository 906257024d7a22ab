import Files
import Gateway
import GatewayConfiguration
import Redis
import TLS

/// What gateways share in Redis.
enum RedisStores {
    /// In front of every key.
    static let prefix: String = "passerelle:"
    private static let fileBytesMax: Int = 20 << 10

    /// None when the settings name no Redis. Connects with the first exchange: counts over one connection, claims over another,
    /// so that requests do not wait for an exchange of counts.
    ///
    /// - Throws: `CommandError` that names the setting.
    static func make(
        _ settings: CounterSettings, folder: String, password: String? = nil, key: String? = nil
    ) throws(CommandError) -> SharedStores {
        guard let text: String = settings.redis else { return .none }
        let password: [UInt8]? =
            if let password { Array(password.utf8) } else {
                try Self.line(of: settings.passwordFile, folder, "counters.password_file")
            }
        let keyFile: String? = key == nil ? settings.keyFile : nil
        var secrets: [[UInt8]] = []
        if let key: String {
            secrets = try Self.secrets(in: Array(key.utf8))
        } else if let keyFile: String {
            secrets = try Self.secrets(ofFile: keyFile, folder)
        }
        var again: (@Sendable () throws -> [[UInt8]])?
        if let keyFile: String { again = { try Self.secrets(ofFile: keyFile, folder) } }
        do {
            let location: RedisLocation = try RedisLocation(parsing: text)
            return SharedStores(
                limits: RedisCounters(try RedisClient(location, password: password)),
                claims: RedisClaims(RedisPipeline(try RedisClient(location, password: password))), secrets: secrets,
                readSecrets: again)
        } catch {
            throw .failed("counters.redis: \(error)")
        }
    }

    /// The lines of `key_file`: the first seals, each opens.
    private static func secrets(ofFile name: String, _ folder: String) throws(CommandError) -> [[UInt8]] {
        try Self.secrets(in: Self.bytes(of: name, folder, "counters.key_file"))
    }

    private static func secrets(in bytes: [UInt8]) throws(CommandError) -> [[UInt8]] {
        let lines: [[UInt8]] = bytes.split { $0 == 10 || $0 == 13 }.map { Array($0) }
        guard (1...CounterSettings.keysMax).contains(lines.count),
            lines.allSatisfy({ $0.count >= CounterSettings.keyBytesMin })
        else {
            throw .failed(
                "counters.key_file: expected 1 to \(CounterSettings.keysMax) lines, each of at least \(CounterSettings.keyBytesMin) bytes"
            )
        }
        return lines
    }

    /// The first line of a file that a setting names; nil: it names none.
    private static func line(
        of name: String?, _ folder: String, _ setting: String
    ) throws(CommandError) -> [UInt8]? {
        guard let name: String else { return nil }
        return Array(try Self.bytes(of: name, folder, setting).prefix { $0 != 10 && $0 != 13 })
    }

    private static func bytes(
        of name: String, _ folder: String, _ setting: String
    ) throws(CommandError) -> [UInt8] {
        do throws(FileError) {
            return try Files.read(name.hasPrefix("/") ? name : "\(folder)/\(name)", bytesMax: Self.fileBytesMax)
        } catch {
            throw .failed("\(setting): \(error)")
        }
    }
}
