"""TAU Urban Acoustic Scenes 2020 Mobile: acoustic scene classification, 10 scenes, nine devices."""

from dcasekit.datasets._urban_scenes import UrbanScenes, zenodo


class TAUUrbanAcousticScenes2020Mobile(UrbanScenes):
    """TAU Urban Acoustic Scenes 2020 Mobile, development set (DCASE 2020 task 1A): 64 h in clips of 10 s, ten scenes.

    44.1 kHz, 24 bit, mono, from the locations of the 2019 edition in ten European cities, by three real devices (a, b, c) and six simulated
    ones (s1 to s6, from a's sound); ``extra["device"]`` says which. What b, c and s1 to s6 recorded, a did too at the same time, so a
    clip's group is its location (``city-location``), whatever the device. Fold 1, the only one published: 13,965 clips to train, 2,970 to
    test, 330 per device; s4, s5 and s6 are in the test clips alone. Clips in neither list have the fold ``unused``, and no split touches
    them. Published numbers are the mean of the scenes' accuracies on the test clips, also by device. There are no validation clips; draw
    them with `validation_split`.

    The evaluation set (Zenodo 3685828) is not read. The scenes are in the order of DCASE-models.

    Layout: ``audio/<scene>-<city>-<location>-<segment>-<device>.wav``, ``meta.csv``, ``evaluation_setup/fold1_{train,evaluate}.csv``.

    Examples
    --------
    >>> TAUUrbanAcousticScenes2020Mobile("/data/TAU2020").folds
    ('train', 'test', 'unused')
    """

    labels = (
        "airport", "shopping_mall", "metro_station", "street_pedestrian", "public_square",
        "street_traffic", "tram", "bus", "metro", "park",
    )  # fmt: skip
    flatten = "TAU-urban-acoustic-scenes-2020-mobile-development"
    archives = zenodo(
        3819968,
        flatten,
        "175f40dc3fec144347abad4d2962b7ae",
        "6eae9db553ce48e4ea246e34e50a3cf5",
        """
        b1e85b8a908d3d6a6ab73268f385d5c8 4310a13cc2943d6ce3f70eba7ba4c784 ed38956c4246abb56190c1e9b602b7b8
        97ab8560056b6816808dedc044dcc023 b50f5e0bfed33cd8e52cb3e7f815c6cb fbf856a3a86fff7520549c899dc94372
        0dbffe7b6e45564da649378723284062 bb6f77832bf0bd9f786f965beb251b2e a65596a5372eab10c78e08a0de797c9e
        2ad595819ffa1d56d2de4c7ed43205a6 0ad29f7040a4e6a22cfd639b3a6738e5 e5f4400c6b9697295fab4cf507155a2f
        8855ab9f9896422746ab4c5d89d8da2f 092ad744452cd3e7de78f988a3d13020 4b5eb85f6592aebf846088d9df76b420
        2e0a89723e58a3836be019e6996ae460
        """,
    )
    licence = "academic, non-commercial use; terms of Tampere University in the dataset's LICENSE file"
    citation = "T. Heittola, A. Mesaros, T. Virtanen, 'Acoustic scene classification in DCASE 2020 Challenge: generalization across devices and low complexity solutions', DCASE Workshop, 2020, pp. 56-60"  # noqa: E501
