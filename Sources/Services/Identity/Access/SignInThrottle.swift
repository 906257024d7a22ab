import Bytes
import Synchronization
import Time

/// Slows down who guesses passwords: failed sign-ins are counted by account and by address, in leaky buckets.
///
/// A bucket takes so many failures at once and forgets one every `forgetsEvery`. Attempts sent together pass together, but no more
/// than wait for `PasswordChecker`, and all that fail count. Names count as they were sent, whether there is such a user or not: who
/// is slowed down learns nothing from it. Memory is fixed: buckets are found by a hash with a seed of the process, so nobody can
/// choose whose bucket to share. Each process counts for itself.
///
/// Where somebody has signed in from before, their attempts count apart: strangers who guess at a name do not keep its owner out.
///
/// Any thread may ask. Cost: one short critical section.
final class SignInThrottle: Sendable {
    static let accountFailuresMax: Int64 = 10
    static let accountForgetsEvery: Duration = .seconds(60)
    /// Many people may come from one address.
    static let addressFailuresMax: Int64 = 100
    static let addressForgetsEvery: Duration = .seconds(6)
    /// Devices that begin a sign-in, which costs a row each.
    static let deviceStartsMax: Int64 = 60
    static let deviceForgetsEvery: Duration = .seconds(2)
    static let bucketCount: Int = 1 << 14

    private struct Rule {
        let failuresMax: Int64
        /// Nanoseconds.
        let forgetsEvery: Int64
    }

    private static let accounts: Rule = Rule(
        failuresMax: accountFailuresMax, forgetsEvery: accountForgetsEvery.nanosecondsClamped)
    private static let devices: Rule = Rule(
        failuresMax: deviceStartsMax, forgetsEvery: deviceForgetsEvery.nanosecondsClamped)
    private static let addresses: Rule = Rule(
        failuresMax: addressFailuresMax, forgetsEvery: addressForgetsEvery.nanosecondsClamped)

    /// What came of an attempt.
    enum Attempt<Value> {
        case right(Value)
        case wrong
        case mustWait(seconds: Int)
    }

    /// A bucket is the moment at which it will be empty, in monotonic nanoseconds.
    private struct Buckets: Sendable {
        var accounts: [Int64] = [Int64](repeating: 0, count: SignInThrottle.bucketCount)
        var addresses: [Int64] = [Int64](repeating: 0, count: SignInThrottle.bucketCount)
        var devices: [Int64] = [Int64](repeating: 0, count: SignInThrottle.bucketCount)
        /// Accounts with a network from which they have signed in: the hash of both, at the place it gives. A later one takes the
        /// place of another; none is ever taken for another.
        var known: [Int] = [Int](repeating: 0, count: SignInThrottle.bucketCount)
        /// The buckets of those.
        var knownFailures: [Int64] = [Int64](repeating: 0, count: SignInThrottle.bucketCount)

        subscript(place: Place) -> Int64 {
            get { self.isKnown(place) ? self.knownFailures[place.known] : self.accounts[place.account] }
            set {
                if self.isKnown(place) {
                    self.knownFailures[place.known] = newValue
                } else {
                    self.accounts[place.account] = newValue
                }
            }
        }

        private func isKnown(_ place: Place) -> Bool { self.known[place.known] == place.tag }

        mutating func learn(_ place: Place) {
            if self.isKnown(place) { return }
            self.known[place.known] = place.tag
            self.knownFailures[place.known] = 0
        }
    }

    /// Where an account and an address are counted.
    private struct Place {
        let account: Int
        let address: Int
        let tag: Int
        let known: Int

        init(account: String, address: String) {
            let network: String = SignInThrottle.network(of: address)
            self.account = SignInThrottle.bucket(account.hashValue)
            self.address = SignInThrottle.bucket(network.hashValue)
            self.tag = [account, network].hashValue
            self.known = SignInThrottle.bucket(self.tag)
        }
    }

    private let clock: any WallClock
    private let buckets: Mutex<Buckets> = Mutex(Buckets())

    init(clock: any WallClock) { self.clock = clock }

    /// Whether an attempt may be made. - Returns: nil when it may, otherwise after how many seconds to come back.
    func wait(account: String, address: String) -> Int? {
        let (now, place): (Int64, Place) = (self.now, Place(account: account, address: address))
        return Self.seconds(self.buckets.withLock { Self.wait(place, $0, now) })
    }

    /// Counts an attempt that was wrong.
    func fail(account: String, address: String) {
        let (now, place): (Int64, Place) = (self.now, Place(account: account, address: address))
        self.buckets.withLock { Self.count(place, &$0, now) }
    }

    /// As `wait`; an attempt that may be made is counted as a wrong one in the same moment, until `withdraw` takes that back: of any
    /// number that are sent together no more are made than may be wrong.
    private func begin(account: String, address: String) -> Int? {
        let (now, place): (Int64, Place) = (self.now, Place(account: account, address: address))
        return Self.seconds(
            self.buckets.withLock { buckets in
                let wait: Int64 = Self.wait(place, buckets, now)
                if wait == 0 { Self.count(place, &buckets, now) }
                return wait
            })
    }

    /// Takes back what `begin` has counted: the attempt was right, or came to nothing.
    private func withdraw(account: String, address: String) {
        let place: Place = Place(account: account, address: address)
        self.buckets.withLock { buckets in
            buckets[place] -= Self.accounts.forgetsEvery
            buckets.addresses[place.address] -= Self.addresses.forgetsEvery
        }
    }

    /// Notes that somebody has signed in, and from where.
    func succeed(account: String, address: String) {
        let place: Place = Place(account: account, address: address)
        self.buckets.withLock { $0.learn(place) }
    }

    /// Makes an attempt that counts as a wrong one while it lasts, and afterwards if it was.
    ///
    /// - Parameter attempt: nil: it was wrong.
    func attempting<Value>(
        account: String, address: String, _ attempt: () async throws -> Value?
    ) async throws -> Attempt<Value> {
        if let seconds: Int = self.begin(account: account, address: address) { return .mustWait(seconds: seconds) }
        let value: Value?
        do {
            value = try await attempt()
        } catch {
            self.withdraw(account: account, address: address)
            throw error
        }
        guard let value: Value else { return .wrong }
        self.withdraw(account: account, address: address)
        self.succeed(account: account, address: address)
        return .right(value)
    }

    /// Whether a device may begin a sign-in from an address; counts it then. - Returns: nil when it may, otherwise after how many
    /// seconds to come back.
    func beginDevice(address: String) -> Int? {
        let (now, place): (Int64, Int) = (self.now, Self.bucket(Self.network(of: address).hashValue))
        return Self.seconds(
            self.buckets.withLock { buckets in
                let wait: Int64 = Self.wait(buckets.devices[place], Self.devices, now)
                if wait == 0 { buckets.devices[place] = max(buckets.devices[place], now) + Self.devices.forgetsEvery }
                return wait
            })
    }

    private var now: Int64 { Int64(clamping: self.clock.monotonic()) }

    private static func seconds(_ nanoseconds: Int64) -> Int? {
        nanoseconds == 0 ? nil : Int((nanoseconds + 999_999_999) / 1_000_000_000)
    }

    private static func wait(_ place: Place, _ buckets: Buckets, _ now: Int64) -> Int64 {
        max(
            Self.wait(buckets[place], Self.accounts, now),
            Self.wait(buckets.addresses[place.address], Self.addresses, now))
    }

    private static func count(_ place: Place, _ buckets: inout Buckets, _ now: Int64) {
        buckets[place] = max(buckets[place], now) + Self.accounts.forgetsEvery
        buckets.addresses[place.address] = max(buckets.addresses[place.address], now) + Self.addresses.forgetsEvery
    }

    private static func wait(_ emptyAt: Int64, _ rule: Rule, _ now: Int64) -> Int64 {
        max(0, emptyAt - now - (rule.failuresMax - 1) * rule.forgetsEvery)
    }

    private static func bucket(_ hash: Int) -> Int { Int(UInt(bitPattern: hash) % UInt(Self.bucketCount)) }

    /// Who has an IPv6 address has at least 2^64 of them: those of one network count together.
    static func network(of address: String) -> String {
        guard address.contains(":") else { return address }
        let groups: [Substring] = address.split(separator: ":", omittingEmptySubsequences: false)
        let hasGap: Bool = groups.dropFirst().dropLast().contains("")
        guard hasGap || groups.count == 8 else { return address }
        var head: [Substring] = []
        for group in groups {
            if group.isEmpty || head.count == 4 { break }
            head.append(group)
        }
        return head.joined(separator: ":") + "::/64"
    }
}
