//! The tools and the whole client port: the same session on the original master and on ours, side by
//! side; what they print must agree line by line (`tests/data/tools/*.script`).

use antler_e2e::script;

/// Makes a test of each script, and one that none is forgotten.
macro_rules! scripts {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                script::side_by_side(concat!(stringify!($name), ".script"));
            }
        )*

        #[test]
        fn all_scripts_are_played() {
            let played = [$(concat!(stringify!($name), ".script").to_owned()),*];
            assert_eq!(script::all(), played.into());
        }
    };
}

scripts!(
    data, info, meta, properties, quota, rights, sclass, snapshot, xattr
);
