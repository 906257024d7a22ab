// swift-tools-version: 6.2
//
// The architecture as a list: a target is a room, a folder is a layer, and arrows only point down
// (Systems <- Kernel <- Runtime <- Data, Gateway <- Services <- passerelle). docs/architecture.md walks through it.
import PackageDescription

/// Settings every room shares. Warnings are errors; Foundation is not linked anywhere but in tests.
let common: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

/// Hot rooms own the per-request path. Exclusivity of class state is proven by thread ownership (one loop), so the run-time
/// check is switched off there; bounds and overflow checks stay on.
let hot: [SwiftSetting] = common + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

func system(_ name: String, pkgConfig: String, apt: String) -> Target {
    .systemLibrary(name: name, path: "Sources/Systems/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

func room(_ layer: String, _ name: String, _ needs: [String], settings: [SwiftSetting] = common) -> Target {
    .target(
        name: name, dependencies: needs.map { .init(stringLiteral: $0) }, path: "Sources/\(layer)/\(name)",
        swiftSettings: settings)
}

func tests(_ layer: String, _ name: String, _ needs: [String]) -> Target {
    .testTarget(
        name: "\(name)Tests",
        dependencies: ([name, "TestKit"] + needs.filter { $0 != name }).map { .init(stringLiteral: $0) },
        path: "Tests/\(layer)/\(name)Tests", swiftSettings: common)
}

/// What every service may use; `own` is what this one needs besides.
let serviceNeeds: [String] = [
    "Contracts", "REST", "Bytes", "JSON", "JSONSchema", "Time", "Identifiers", "Store", "EventLog", "Telemetry",
]

let targets: [Target] = [
    // Systems: C libraries and shims.
    .target(name: "CLinux", path: "Sources/Systems/CLinux"),
    system("COpenSSL", pkgConfig: "openssl", apt: "libssl-dev"),
    system("CSQLite", pkgConfig: "sqlite3", apt: "libsqlite3-dev"),
    system("CPostgres", pkgConfig: "libpq", apt: "libpq-dev"),
    system("CYAML", pkgConfig: "yaml-0.1", apt: "libyaml-dev"),
    system("CArgon2", pkgConfig: "libargon2", apt: "libargon2-dev"),
    system("CNGHTTP2", pkgConfig: "libnghttp2", apt: "libnghttp2-dev"),
    system("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev"),
    system("CBrotli", pkgConfig: "libbrotlienc", apt: "libbrotli-dev"),
    system("CZstd", pkgConfig: "libzstd", apt: "libzstd-dev"),
    system("CPCRE2", pkgConfig: "libpcre2-8", apt: "libpcre2-dev"),

    // Kernel: values and algorithms, no I/O.
    room("Kernel", "Bytes", []),
    room("Kernel", "Time", ["CLinux"]),
    room("Kernel", "Identifiers", ["Bytes", "Time", "CLinux"]),
    room("Kernel", "JSON", ["Bytes"]),
    room("Kernel", "Documents", ["Bytes", "JSON", "CYAML"]),
    room("Kernel", "Patterns", ["Bytes", "CPCRE2"]),
    room("Kernel", "JSONSchema", ["Bytes", "JSON", "Patterns"]),
    room("Kernel", "OpenAPI", ["Bytes", "JSON", "Documents"]),
    room("Kernel", "Crypto", ["Bytes", "COpenSSL", "CArgon2"]),
    room("Kernel", "Tokens", ["Bytes", "JSON", "Crypto", "Time"]),
    room("Kernel", "WebAuthn", ["Bytes", "JSON", "Crypto"]),

    // Runtime: loops, sockets, HTTP, process life.
    room("Runtime", "EventLoops", ["CLinux"], settings: hot),
    room("Runtime", "Files", ["CLinux"]),
    room("Runtime", "DNS", ["EventLoops", "CLinux"]),
    room("Runtime", "Telemetry", ["Bytes", "JSON", "Time", "CLinux"]),
    room("Runtime", "TLS", ["Crypto", "COpenSSL"], settings: hot),
    room("Runtime", "HTTP", ["Bytes", "Time", "Crypto", "EventLoops", "TLS", "CLinux"], settings: hot),
    room("Runtime", "Processes", ["JSON", "Time", "Telemetry", "CLinux"]),

    // Data: state and log.
    room("Data", "Store", ["Bytes", "JSON", "Time", "Telemetry", "CSQLite", "CPostgres", "CLinux"]),
    room("Data", "EventLog", ["Bytes", "JSON", "Time", "Identifiers", "Store", "Telemetry", "CSQLite"]),

    room("Data", "KeyRing", ["Bytes", "Crypto", "Files", "HTTP", "JSON", "Store", "Time"]),
    room("Data", "Backup", ["Bytes", "Crypto", "EventLog", "Files", "JSON", "KeyRing", "Store", "Time"]),
    room("Data", "Redis", ["EventLoops", "TLS", "HTTP"]),

    // Gateway: the data plane; Kernel and Runtime only.
    room(
        "Gateway", "GatewayConfiguration",
        ["Bytes", "JSON", "JSONSchema", "Documents", "Patterns", "Crypto", "Tokens", "Time", "Identifiers"]),
    room(
        "Gateway", "Gateway",
        [
            "GatewayConfiguration", "Bytes", "JSON", "JSONSchema", "Documents", "Patterns", "Crypto", "Tokens", "Time",
            "Identifiers", "DNS", "EventLoops", "TLS", "HTTP", "Files", "Telemetry", "CLinux", "CNGHTTP2", "CZlib",
            "CBrotli",
            "CZstd",
        ], settings: hot),

    // Services: one folder each, all of one shape.
    room(
        "Services", "Contracts",
        ["Bytes", "JSON", "Time", "Identifiers", "EventLog", "Store", "GatewayConfiguration", "Telemetry"]),
    room(
        "Services", "REST",
        [
            "Contracts", "Bytes", "JSON", "JSONSchema", "Time", "Identifiers", "Crypto", "HTTP", "Store", "EventLog",
            "Telemetry", "GatewayConfiguration",
        ]),
    service("Catalog", ["OpenAPI", "Documents", "GatewayConfiguration", "Crypto"]),
    service("Identity", ["Crypto", "KeyRing", "Tokens", "WebAuthn", "HTTP", "EventLoops", "TLS"]),
    service("Portal", ["Crypto"]),
    service("Secrets", ["Crypto", "KeyRing", "HTTP"]),
    service("Deployments", ["Documents", "OpenAPI", "GatewayConfiguration", "Gateway", "Crypto", "HTTP", "TLS"]),
    service("Observability", ["Crypto", "HTTP", "KeyRing"]),
    service("Audit", ["Crypto", "Files", "HTTP", "KeyRing", "Processes"]),
    service("Backups", ["Backup", "EventLoops", "HTTP"]),
    service("Geolocation", ["Crypto", "HTTP"]),

    // The command line and the composition root.
    .executableTarget(
        name: "passerelle",
        dependencies: [
            "Bytes", "Time", "Identifiers", "JSON", "Documents", "JSONSchema", "OpenAPI", "Crypto", "Tokens",
            "EventLoops", "Telemetry",
            "TLS", "HTTP", "Files", "Processes", "Store", "EventLog", "KeyRing", "Backup", "Redis",
            "GatewayConfiguration", "Gateway",
            "Contracts",
            "REST", "Catalog",
            "Identity", "Portal", "Secrets", "Deployments", "Observability", "Audit", "Backups", "Geolocation",
            "CLinux",
        ], path: "Sources/passerelle", swiftSettings: common),

    // Benchmarks: `make bench`.
    .executableTarget(
        name: "StoreBenchmark", dependencies: ["Store", "Telemetry", "Time", "CLinux"], path: "Benchmarks/Store",
        swiftSettings: common),
    .executableTarget(
        name: "LogBench", dependencies: ["EventLog", "Store", "JSON", "Time", "CLinux", "CPostgres"],
        path: "Benchmarks/log/LogBench", swiftSettings: common),
    .executableTarget(
        name: "HTTPBenchmark", dependencies: ["HTTP", "EventLoops", "CLinux"], path: "Benchmarks/http/HTTPBenchmark",
        swiftSettings: common),
    .target(
        name: "BenchServices", dependencies: ["REST", "Contracts", "EventLog", "Store", "Files", "Time", "Telemetry"],
        path: "Benchmarks/services/BenchServices", swiftSettings: common),
    .executableTarget(
        name: "AuditBench",
        dependencies: [
            "BenchServices", "Audit", "Observability", "REST", "Contracts", "HTTP", "EventLog", "Store", "Identifiers",
            "JSON", "Time", "Telemetry", "CLinux",
        ], path: "Benchmarks/audit/AuditBench", swiftSettings: common),
    .executableTarget(
        name: "IdentityBench",
        dependencies: [
            "BenchServices", "Identity", "REST", "Contracts", "HTTP", "EventLog", "Store", "JSON", "Time", "Telemetry",
            "CLinux",
        ], path: "Benchmarks/identity/IdentityBench", swiftSettings: common),
    .executableTarget(
        name: "PolicyBenchmark", dependencies: ["Gateway", "GatewayConfiguration", "HTTP", "Crypto", "CLinux"],
        path: "Benchmarks/policies/PolicyBenchmark", swiftSettings: common),

    // Tests mirror Sources.
    .target(
        name: "TestKit", dependencies: ["Bytes", "Time", "JSON", "Telemetry", "CLinux", "CPostgres"],
        path: "Tests/TestKit",
        swiftSettings: common),
    .target(
        name: "ServiceTestKit",
        dependencies: [
            "TestKit", "Contracts", "REST", "EventLog", "Store", "HTTP", "JSON", "Time", "Telemetry", "Crypto",
        ],
        path: "Tests/ServiceTestKit", swiftSettings: common),
    .target(
        name: "AuthenticatorKit", dependencies: ["Bytes", "Crypto", "JSON"], path: "Tests/AuthenticatorKit",
        swiftSettings: common),
    .executableTarget(
        name: "CrashWriter", dependencies: ["Store", "EventLog", "JSON", "Time"], path: "Tests/Crash/CrashWriter",
        swiftSettings: common),
    tests("Kernel", "Bytes", []),
    tests("Kernel", "Time", []),
    tests("Kernel", "Identifiers", []),
    tests("Kernel", "JSON", ["Bytes"]),
    tests("Kernel", "Documents", ["JSON"]),
    tests("Kernel", "Patterns", []),
    tests("Kernel", "JSONSchema", ["JSON"]),
    tests("Kernel", "OpenAPI", ["JSON", "Documents"]),
    tests("Kernel", "Crypto", ["Bytes"]),
    tests("Kernel", "Tokens", ["Bytes", "JSON", "Crypto", "Time"]),
    tests("Kernel", "WebAuthn", ["Bytes", "JSON", "Crypto", "AuthenticatorKit"]),
    tests("Runtime", "EventLoops", []),
    tests("Runtime", "DNS", ["EventLoops"]),
    tests("Runtime", "Files", []),
    tests("Runtime", "Telemetry", []),
    tests("Runtime", "TLS", ["Crypto"]),
    tests("Runtime", "HTTP", ["EventLoops", "TLS", "Bytes", "Crypto"]),
    tests("Runtime", "Processes", ["CLinux"]),
    tests("Data", "Store", ["JSON", "Time"]),
    tests("Data", "KeyRing", ["Bytes", "Crypto", "EventLoops", "Files", "HTTP", "JSON", "Store", "Time"]),
    tests("Data", "Backup", ["Store", "KeyRing", "Files", "Time"]),
    tests("Data", "Redis", ["TLS", "Crypto"]),
    tests("Data", "EventLog", ["Store", "Bytes", "JSON", "Time", "Identifiers"]),
    .testTarget(
        name: "LogSimulationTests", dependencies: ["EventLog", "Store", "Time", "TestKit"],
        path: "Tests/Data/LogSimulationTests", swiftSettings: common),
    tests("Gateway", "GatewayConfiguration", ["JSON", "JSONSchema", "Documents", "Time"]),
    tests(
        "Gateway", "Gateway",
        [
            "GatewayConfiguration", "EventLoops", "HTTP", "TLS", "Files", "JSON", "Bytes", "Crypto", "Tokens", "Time",
            "Telemetry", "CNGHTTP2", "CZlib", "CBrotli", "CZstd",
        ]),
    tests("Services", "Contracts", ["Store"]),
    tests("Services", "REST", serviceNeeds + ["ServiceTestKit", "HTTP"]),
    serviceTests("Catalog", ["OpenAPI", "Documents", "GatewayConfiguration", "Crypto"]),
    serviceTests("Identity", ["Crypto", "Tokens", "WebAuthn", "AuthenticatorKit", "EventLoops", "TLS"]),
    serviceTests("Portal", ["Catalog", "Crypto", "GatewayConfiguration", "Documents"]),
    serviceTests("Secrets", ["Crypto", "KeyRing"]),
    serviceTests("Deployments", ["Catalog", "Portal", "GatewayConfiguration", "Documents", "OpenAPI"]),
    serviceTests("Observability", ["Crypto"]),
    serviceTests("Audit", ["Crypto"]),
    serviceTests("Backups", []),
    serviceTests("Geolocation", []),
]

func service(_ name: String, _ own: [String]) -> Target {
    room("Services", name, serviceNeeds + own)
}

func serviceTests(_ name: String, _ own: [String]) -> Target {
    tests("Services", name, serviceNeeds + ["ServiceTestKit", "HTTP"] + own)
}

/// Parsers under libFuzzer: Tests/Fuzz/<name> holds one entry point. Only `Scripts/fuzz` builds them, with the instrumentation they
/// need, as static libraries that it links with libFuzzer's own main; Tests/Fuzz/README.md says how to add one.
let fuzzers: [Target] = [
    fuzzer("JSON", ["JSON"]),
    fuzzer("Documents", ["Documents", "JSON"]),
    fuzzer("JSONSchema", ["JSONSchema", "JSON"]),
    fuzzer("Patterns", ["Patterns"]),
    fuzzer("OpenAPI", ["OpenAPI", "Documents"]),
    fuzzer("Tokens", ["Tokens", "Bytes", "JSON", "Crypto", "Time"]),
    fuzzer("WebAuthn", ["WebAuthn", "Bytes", "JSON"]),
    fuzzer("RecordBatches", ["EventLog", "Bytes", "Time"]),
    fuzzer("URLs", ["HTTP"]),
    fuzzer("Authorization", ["HTTP", "Bytes"]),
    fuzzer("ProxyFields", ["HTTP", "EventLoops"]),
    fuzzer("Secrets", ["Crypto", "GatewayConfiguration", "JSON", "Bytes"]),
    fuzzer("SealedValues", ["Audit", "KeyRing", "Crypto", "JSON"]),
    fuzzer("PKI", ["Crypto", "TLS", "Bytes"]),
    fuzzer("DNSAnswers", ["DNS", "EventLoops"]),
    fuzzer("HTTPHeads", ["HTTP"]),
    fuzzer("Connections", ["Gateway", "GatewayConfiguration", "EventLoops", "HTTP"]),
    fuzzer("SpanAnswers", ["Gateway"]),
    fuzzer("IdempotencyRecords", ["Gateway"]),
    fuzzer("Multipart", ["Gateway"]),
    fuzzer("GatewayFiles", ["GatewayConfiguration", "Documents", "JSON"]),
]

func fuzzer(_ name: String, _ needs: [String]) -> Target {
    .target(
        name: "\(name)Fuzz", dependencies: needs.map { .init(stringLiteral: $0) }, path: "Tests/Fuzz/\(name)",
        swiftSettings: common)
}

/// `PASSERELLE_ROOMS=JSONTests,Bytes swift test` builds and tests only these targets and what they need: the quick loop of
/// someone who works in one room. Hidden targets exist only when they are named.
func selected(_ all: [Target], hidden: [Target]) -> [Target] {
    guard let wanted: String = Context.environment["PASSERELLE_ROOMS"], !wanted.isEmpty else { return all }
    var byName: [String: Target] = [:]
    for target in all + hidden { byName[target.name] = target }
    var queue: [String] = wanted.split(separator: ",").map(String.init)
    var kept: Set<String> = []
    while let name: String = queue.popLast() {
        guard let target: Target = byName[name], kept.insert(name).inserted else { continue }
        for dependency in target.dependencies {
            if case .byNameItem(let needed, _) = dependency { queue.append(needed) }
        }
    }
    return (all + hidden).filter { kept.contains($0.name) }
}

let chosen: [Target] = selected(targets, hidden: fuzzers)
let chosenFuzzers: [Target] = chosen.filter { target in fuzzers.contains { $0 === target } }

let package = Package(
    name: "passerelle",
    products: chosenFuzzers.map { .library(name: $0.name, type: .static, targets: [$0.name]) },
    targets: chosen)
