import Crypto
import Files
import GatewayConfiguration
import Synchronization
import TLS

/// The client contexts of the process, one for each way to speak TLS with targets.
///
/// Made before a snapshot that needs them goes live, because reading files and the system's authorities takes milliseconds that no loop
/// has. A certificate whose files changed gets another context then: connections are made anew with it.
final class TLSContextBook: Sendable {
    private struct Entry {
        let settings: UpstreamTLS
        let http2: Bool
        /// SHA-256 of the certificate's files; empty: there are none.
        let digest: [UInt8]
        /// Nil where the settings make none: then no connection is made.
        let context: TLSContext?
    }

    /// What a certificate's files hold.
    private struct Material {
        var chain: String = ""
        var key: String = ""

        var digest: [UInt8] { SHA256.hash(Array(self.chain.utf8) + [0] + Array(self.key.utf8)) }
    }

    /// Why settings make no context.
    struct Problem: Error {
        let text: String
    }

    /// Contexts kept; beyond it the oldest is forgotten, and made again when it is needed.
    private static let entriesMax: Int = 1024
    /// Bytes of a certificate or key file at most.
    private static let fileBytesMax: Int = 1 << 20

    private let folder: String
    private let entries: Mutex<[Entry]> = Mutex([])

    /// - Parameter folder: what file names are relative to.
    init(folder: String = ".") {
        self.folder = folder
    }

    /// The context of these settings; made now if it is not there yet. Nil when they do not make one.
    func context(for settings: UpstreamTLS, http2: Bool = false) -> TLSContext? {
        let settings: UpstreamTLS = TLSContextBook.key(settings)
        if let entry: Entry = self.entry(settings, http2) { return entry.context }
        return self.renew(settings, http2)
    }

    /// Reads files again, and makes the context anew where they changed. Blocks on the disk.
    func prepare(_ settings: UpstreamTLS, http2: Bool = false) {
        let settings: UpstreamTLS = TLSContextBook.key(settings)
        let old: Entry? = self.entry(settings, http2)
        if let old: Entry = old {
            guard case .files? = settings.certificate else { return }
            let material: Material? = try? TLSContextBook.material(settings, self.folder)
            // What was read last goes on while the files are away or being replaced.
            guard let material: Material, material.digest != old.digest else { return }
        }
        _ = self.renew(settings, http2, keeping: old)
    }

    /// What is wrong with the texts of the settings, authorities and a certificate with its key, each by its field; nothing of what
    /// they hold is in it. Some of them may have been secrets: what nobody could see until they were opened.
    static func problemsOfTexts(_ settings: UpstreamTLS) -> [String] {
        var problems: [String] = []
        func check(_ field: String, _ reading: () throws(CryptoError) -> Void) {
            do throws(CryptoError) {
                try reading()
            } catch {
                problems.append("\(field): \(error)")
            }
        }
        if settings.verify, let text: String = settings.authorities {
            check("authorities") { () throws(CryptoError) in _ = try Certificate.chain(pem: text) }
        }
        guard case .texts(let chain, let key)? = settings.certificate else { return problems }
        check("certificate.cert_pem") { () throws(CryptoError) in _ = try Certificate.chain(pem: chain) }
        check("certificate.key_pem") { () throws(CryptoError) in _ = try PrivateKey(pem: key) }
        if !problems.isEmpty { return problems }
        // Whether the two belong together, and whether TLS takes them. Authorities were read, and the system's take their time.
        var settings: UpstreamTLS = settings
        settings.verify = false
        do throws(Problem) {
            _ = try self.make(settings, false, Material(chain: chain, key: key))
        } catch {
            problems.append(error.text)
        }
        return problems
    }

    /// What is wrong with the settings; nil: nothing. Blocks on the disk.
    static func problem(_ settings: UpstreamTLS, folder: String) -> String? {
        do throws(Problem) {
            _ = try self.make(settings, false, try self.material(settings, folder))
            return nil
        } catch {
            return error.text
        }
    }

    /// The name is each session's own.
    private static func key(_ settings: UpstreamTLS) -> UpstreamTLS {
        var settings: UpstreamTLS = settings
        settings.serverName = nil
        return settings
    }

    private func entry(_ settings: UpstreamTLS, _ http2: Bool) -> Entry? {
        self.entries.withLock { (entries: inout [Entry]) -> Entry? in
            entries.first { $0.http2 == http2 && $0.settings == settings }
        }
    }

    /// Makes a context and remembers it. One that cannot be made does not replace one that works.
    private func renew(_ settings: UpstreamTLS, _ http2: Bool, keeping old: Entry? = nil) -> TLSContext? {
        let material: Material? = try? TLSContextBook.material(settings, self.folder)
        var context: TLSContext?
        if settings.certificate == nil || material != nil {
            context = try? TLSContextBook.make(settings, http2, material)
        }
        if context == nil, let old: Entry = old { return old.context }
        let made: Entry = Entry(settings: settings, http2: http2, digest: material?.digest ?? [], context: context)
        return self.entries.withLock { (entries: inout [Entry]) -> TLSContext? in
            if let index: Int = entries.firstIndex(where: { $0.http2 == http2 && $0.settings == settings }) {
                // Another thread may have been first.
                if old == nil { return entries[index].context }
                entries.remove(at: index)
            }
            if entries.count >= TLSContextBook.entriesMax { entries.removeFirst() }
            entries.append(made)
            return context
        }
    }

    /// What is shown to targets, from wherever it is; nil: nothing is.
    private static func material(_ settings: UpstreamTLS, _ folder: String) throws(Problem) -> Material? {
        switch settings.certificate {
        case nil: return nil
        case .files(let files):
            return Material(chain: try self.text(files.certificate, folder), key: try self.text(files.key, folder))
        case .texts(let chain, let key): return Material(chain: chain, key: key)
        }
    }

    private static func text(_ path: String, _ folder: String) throws(Problem) -> String {
        let whole: String = path.hasPrefix("/") ? path : "\(folder)/\(path)"
        do throws(FileError) {
            return String(decoding: try Files.read(whole, bytesMax: self.fileBytesMax), as: UTF8.self)
        } catch {
            throw Problem(text: "certificate: \(error)")
        }
    }

    private static func make(
        _ settings: UpstreamTLS, _ http2: Bool, _ material: Material?
    ) throws(Problem) -> TLSContext {
        var configuration: TLSClientConfiguration = TLSClientConfiguration(
            minimumVersion: settings.minimumVersion == .tls13 ? .tls13 : .tls12,
            applicationProtocols: http2 ? ["h2", "http/1.1"] : ["http/1.1"])
        if !settings.verify {
            configuration.trust = .anyone
        } else if let text: String = settings.authorities {
            do throws(CryptoError) {
                configuration.trust = .authorities(try Certificate.chain(pem: text))
            } catch {
                throw Problem(text: "authorities: \(error)")
            }
        }
        if let material: Material {
            do throws(CryptoError) {
                configuration.certificate = try TLSCertificate(chainPEM: material.chain, keyPEM: material.key)
            } catch {
                throw Problem(text: "certificate: \(error)")
            }
        }
        do throws(TLSError) {
            return try TLSContext.client(configuration)
        } catch {
            throw Problem(text: "\(error)")
        }
    }
}
