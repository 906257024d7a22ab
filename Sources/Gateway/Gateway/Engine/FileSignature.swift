import Glibc

/// What changes when a file does: also when it is replaced, a link to it is set to another, or its time is set back.
///
/// Take it **before** the file is read: then a change in between is seen with the next look.
struct FileSignature: Equatable {
    let device: UInt
    let inode: UInt
    let size: Int
    let modifiedSeconds: Int
    let modifiedNanoseconds: Int
    let changedSeconds: Int
    let changedNanoseconds: Int

    /// Nil when there is no such file.
    init?(_ path: String) {
        var status: stat = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.device = UInt(status.st_dev)
        self.inode = UInt(status.st_ino)
        self.size = Int(status.st_size)
        self.modifiedSeconds = Int(status.st_mtim.tv_sec)
        self.modifiedNanoseconds = Int(status.st_mtim.tv_nsec)
        self.changedSeconds = Int(status.st_ctim.tv_sec)
        self.changedNanoseconds = Int(status.st_ctim.tv_nsec)
    }
}
