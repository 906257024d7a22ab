import Files
import Gateway
import GatewayConfiguration
import Redis
import TLS

/// What gateways share in Redis.
enum RedisStores {
    /// In front of every key.
    static let prefix: String = "passerelle:"

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
        let secret: [UInt8]? =
            if let key { Array(key.utf8) } else { try Self.line(of: settings.keyFile, folder, "counters.key_file") }
        if let secret: [UInt8], secret.count < CounterSettings.keyBytesMin {
            throw .failed("counters.key_file: expected a line of at least \(CounterSettings.keyBytesMin) bytes")
        }
        do {
            let location: RedisLocation = try RedisLocation(parsing: text)
            return SharedStores(
                limits: RedisCounters(try RedisClient(location, password: password)),
                claims: RedisClaims(RedisPipeline(try RedisClient(location, password: password))), secret: secret ?? [])
        } catch {
            throw .failed("counters.redis: \(error)")
        }
    }

    /// The first line of a file that a setting names; nil: it names none.
    private static func line(
        of name: String?, _ folder: String, _ setting: String
    ) throws(CommandError) -> [UInt8]? {
        guard let name: String else { return nil }
        do throws(FileError) {
            let bytes: [UInt8] = try Files.read(name.hasPrefix("/") ? name : "\(folder)/\(name)", bytesMax: 4096)
            return Array(bytes.prefix { $0 != 10 && $0 != 13 })
        } catch {
            throw .failed("\(setting): \(error)")
        }
    }
}
