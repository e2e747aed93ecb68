// npm takes a package with a binding.gyp for one to compile (it does not keep `gypfile: false` in lock files), which
// wants Python, make and Node's headers. All native code here comes prebuilt, so .npmrc puts this in node-gyp's place.
