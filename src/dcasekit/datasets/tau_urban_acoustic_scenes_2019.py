"""TAU Urban Acoustic Scenes 2019: acoustic scene classification, 10 scenes in ten cities."""

from dcasekit.datasets._urban_scenes import UrbanScenes, zenodo


class TAUUrbanAcousticScenes2019(UrbanScenes):
    """TAU Urban Acoustic Scenes 2019, development set (DCASE 2019 task 1A): 14,400 clips of 10 s, ten scenes of 1,440.

    48 kHz, 24 bit, binaural (two channels), from 514 locations in ten European cities; six of them are the 2018 edition, with its file
    names. A clip's group is its location (``city-location``). Fold 1, the only one published: 9,185 clips to train, 4,185 to test.
    The other 1,030, from Milan, which is a city of the test clips alone, are in neither list: their fold is ``unused``, and no split
    touches them; the challenge lets them be trained on when its evaluation set is tested. Published numbers are the mean of the scenes'
    accuracies on the test clips. There are no validation clips; draw them with `validation_split`.

    The leaderboard and evaluation sets (Zenodo 2672993, 3063822) are not read. The scenes are in the order of DCASE-models.

    Layout: ``audio/<scene>-<city>-<location>-<segment>-a.wav``, ``meta.csv``, ``evaluation_setup/fold1_{train,evaluate}.csv``.

    Examples
    --------
    >>> TAUUrbanAcousticScenes2019("/data/TAU2019").labels[:2]
    ('airport', 'shopping_mall')
    """

    labels = (
        "airport", "shopping_mall", "metro_station", "street_pedestrian", "public_square",
        "street_traffic", "tram", "bus", "metro", "park",
    )  # fmt: skip
    flatten = "TAU-urban-acoustic-scenes-2019-development"
    archives = zenodo(
        2589280,
        flatten,
        "1f6879544e80da70099a191613e7e51f",
        "09782f2097e4735687af73c44919329c",
        """
        aca4ebfd9ed03d5f747d6ba8c24bc728 c4f170408ce77c8c70c532bf268d7be0 c7214a07211f10f3250290d05e72c37e
        a6a62110f6699cf4432072acb1dffda6 091a0b6d3c84b8e60e46940aa7d4a8a0 114f4ca13e074391b98a1cfd8140de65
        5951dd2968f7a514e2afbe279c4f060d b0b63dc95b327e1509857c8d8a663cc3 3c32a693a6b111ffb957be3c1dd22e9b
        0ffbf60006da520cc761fb74c878b98b 599055d93b4c11057c29be2df54538d4 98b8d162ff3665695c4c910e6c372cc8
        a356c08b1a5a21d433eba37ef87587f4 f8969771e7faf7dd471d1cf78b0cf011 4758c4b0fb7484faa632266e78850820
        a18acad9ede8ea76574216feb887f0bc 1af7703484632f340da5c33662dc9632 b67402bf3e08f4da394a7c18756c0fd2
        035db315f19106eb848b6f9b32bcc47c 9cb28c74911bf8a3eadcf53f50a5b5d6 0e44ed85c88ec036a9725b4dd1dfaea0
        """,
    )
    licence = "academic, non-commercial use; terms of Tampere University in the dataset's LICENSE file"
    citation = "A. Mesaros, T. Heittola, T. Virtanen, 'A multi-device dataset for urban acoustic scene classification', DCASE Workshop, 2018, pp. 9-13. arXiv:1807.09840"  # noqa: E501
