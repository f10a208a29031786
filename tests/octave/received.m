function [Receive, rows] = received(Receive, n_samples)
%RECEIVED  Receive as VSX fills it in, with so many samples an acquisition in NS200BW; and the rows of a frame.
for k = 1:numel(Receive)
    Receive(k).decimSampleRate = 31.25;
    Receive(k).quadDecim = 1;
    Receive(k).demodFrequency = 7.8125;
    Receive(k).startSample = 1 + n_samples * (Receive(k).acqNum - 1);
    Receive(k).endSample = n_samples * Receive(k).acqNum;
end
rows = n_samples * max([Receive.acqNum]);
end
