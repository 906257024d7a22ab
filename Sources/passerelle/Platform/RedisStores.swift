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
        _ settings: CounterSettings, folder: String, password: String? = nil
    ) throws(CommandError) -> SharedStores {
        guard let text: String = settings.redis else { return .none }
        let password: [UInt8]? =
            if let password { Array(password.utf8) } else { try Self.password(settings, folder) }
        do {
            let location: RedisLocation = try RedisLocation(parsing: text)
            return SharedStores(
                limits: RedisCounters(try RedisClient(location, password: password)),
                claims: RedisClaims(RedisPipeline(try RedisClient(location, password: password))))
        } catch {
            throw .failed("counters.redis: \(error)")
        }
    }

    private static func password(_ settings: CounterSettings, _ folder: String) throws(CommandError) -> [UInt8]? {
        guard let name: String = settings.passwordFile else { return nil }
        do throws(FileError) {
            let bytes: [UInt8] = try Files.read(name.hasPrefix("/") ? name : "\(folder)/\(name)", bytesMax: 4096)
            return Array(bytes.prefix { $0 != 10 && $0 != 13 })
        } catch {
            throw .failed("counters.password_file: \(error)")
        }
    }
}
